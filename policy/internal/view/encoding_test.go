package view

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
)

// sample has a field of each kind. The field of type origin does not count.
type sample struct {
	Flag     bool
	Number   int32
	Count    uint16
	Text     string
	Texts    []string
	Bytes    [3]uint8
	bytes    []uint8
	Pointer  *sample
	List     []sample
	Address  netip.Addr
	Left     origin
	LeftList []origin
}

type origin struct{ Line int }

// TestEncodingTellsValuesApart: values that differ have different bytes, also where one follows another in
// a list; and values that differ only in what is left out have the same bytes.
func TestEncodingTellsValuesApart(t *testing.T) {
	e := NewEncoding(reflect.TypeFor[sample](), reflect.TypeFor[origin](), reflect.TypeFor[[]origin]())
	encode := func(s *sample) string { return string(e.Append(nil, reflect.ValueOf(s).Elem())) }
	seen := map[string]string{}
	for _, s := range []*sample{
		{}, {Flag: true}, {Number: 1}, {Number: -1}, {Number: 300}, {Count: 1}, {Text: "a"}, {Text: "\x01"}, {Text: "ab"},
		{Texts: []string{""}}, {Texts: []string{"", ""}}, {Texts: []string{"a", "b"}}, {Texts: []string{"ab"}}, {Texts: []string{"a"}, Text: "b"},
		{Bytes: [3]uint8{0, 1, 0}}, {bytes: []uint8{1}}, {bytes: []uint8{1, 0}}, {Pointer: &sample{}}, {Pointer: &sample{Pointer: &sample{}}},
		{List: []sample{{}}}, {List: []sample{{}, {}}}, {List: []sample{{Flag: true}, {}}}, {List: []sample{{}, {Flag: true}}},
		{Address: netip.MustParseAddr("10.0.0.1")}, {Address: netip.MustParseAddr("::ffff:10.0.0.1")}, {Address: netip.MustParseAddr("fd00::1")},
	} {
		text := encode(s)
		if other, twice := seen[text]; twice {
			t.Errorf("%+v and %s have the same bytes", *s, other)
		}
		seen[text] = fmt.Sprintf("%+v", *s)
		same := *s
		same.Left, same.LeftList = origin{7}, []origin{{8}}
		if same.Texts == nil {
			same.Texts = []string{}
		}
		if encode(&same) != text {
			t.Errorf("%+v has other bytes with another origin, or with an empty list in place of none", *s)
		}
	}
}

// TestEncodingRefusesWhatItDoesNotKnow, rather than to leave it out.
func TestEncodingRefusesWhatItDoesNotKnow(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a map has an encoding")
		}
	}()
	type odd struct{ M map[string]int }
	NewEncoding(reflect.TypeFor[odd]())
}
