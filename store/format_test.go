package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/golden"
	"breakwater.dev/store/internal/record"
)

// formatFile returns the golden file of a version of the format.
func formatFile(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("format-%d.txtar", version))
}

// TestFormat shows a file, and the states that the next process reads from it ten seconds later. If the file changes, raise
// the version of the format, because operators have files with the old format. The golden file of the old format stays, with
// the file as its input.
func TestFormat(t *testing.T) {
	golden.Run(t, formatFile(record.Format), func(t *testing.T, in []txtar.File) map[string]string {
		data := encoded(t, examples()...)
		saved, err := decode(data, later(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, data, "", "  "); err != nil {
			t.Fatal(err)
		}
		restored, err := json.MarshalIndent(saved, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"breakers.json": pretty.String(), "restored.json": string(restored)}
	})
}

// TestEarlierFormats shows that a file with an earlier format keeps its meaning.
func TestEarlierFormats(t *testing.T) {
	for version := 1; version < record.Format; version++ {
		golden.Run(t, formatFile(version), func(t *testing.T, in []txtar.File) map[string]string {
			var data bytes.Buffer
			if err := json.Compact(&data, in[0].Data); err != nil {
				t.Fatal(err)
			}
			saved, err := decode(data.Bytes(), later(10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			restored, err := json.MarshalIndent(saved, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			return map[string]string{"restored.json": string(restored)}
		})
	}
}

// TestOrderDoesNotMatter shows that equal states give equal bytes in any order.
func TestOrderDoesNotMatter(t *testing.T) {
	saved := examples()
	want := encoded(t, saved...)
	slices.Reverse(saved)
	if got := encoded(t, saved...); !bytes.Equal(got, want) {
		t.Errorf("in another order\n%s\nwant\n%s", got, want)
	}
}

// harmless checks that damaged data is refused, or has the same meaning as the original file. The damage is described for
// the error message.
func harmless(t *testing.T, data []byte, want []breaker.Saved, damage func() string) (refused bool) {
	t.Helper()
	got, err := decode(data, date)
	if err == nil && !cmp.Equal(got, want) {
		t.Errorf("%s is not noticed: got %+v", damage(), got)
	}
	return err != nil
}

// TestCorruptionIsNoticed changes each bit of each byte in turn, replaces the byte by zero and by a blank, and leaves it out.
func TestCorruptionIsNoticed(t *testing.T) {
	data, want := encoded(t, examples()...), examples()
	refused, tried := 0, 0
	try := func(i int, damaged []byte) {
		tried++
		if harmless(t, damaged, want, func() string { return fmt.Sprintf("byte %d as in %q", i, damaged) }) {
			refused++
		}
	}
	for i := range data {
		changed := slices.Clone(data)
		for bit := range 8 {
			changed[i] = data[i] ^ 1<<bit
			try(i, changed)
		}
		for _, b := range []byte{0, ' '} {
			changed[i] = b
			try(i, changed)
		}
		try(i, slices.Delete(slices.Clone(data), i, i+1))
	}
	// Changes that are not refused are another case of a letter in the envelope's names, and a change of the line's end.
	if harmless := tried - refused; harmless > 64 {
		t.Errorf("%d of %d changes are not refused", harmless, tried)
	}
}

// TestTruncationIsNoticed shows that a file that ends too early is refused, unless it lacks only the line's end.
func TestTruncationIsNoticed(t *testing.T) {
	data, want := encoded(t, examples()...), examples()
	for n := range data {
		refused := harmless(t, data[:n], want, func() string { return fmt.Sprintf("an end after %d bytes", n) })
		if complete := n == len(data)-1; refused == complete {
			t.Errorf("the first %d of %d bytes: refused %t", n, len(data), refused)
		}
	}
}

// sealed returns a file with any list and a correct checksum.
func sealed(format int, written, list string) []byte {
	e := envelope{Format: format, Written: written, Breakers: json.RawMessage(list)}
	e.SHA256 = e.checksum()
	return fmt.Appendf(nil, `{"format":%d,"sha256":%q,"written":%q,"breakers":%s}`, e.Format, e.SHA256, e.Written, list)
}

// TestRefusals shows the errors for wrong files, most of which have a correct checksum.
func TestRefusals(t *testing.T) {
	list, err := encode(examples()[:1], date)
	if err != nil {
		t.Fatal(err)
	}
	const written = "2026-11-23T12:00:00Z"
	replaced := func(old, with string) []byte {
		if strings.Count(string(list), old) == 0 {
			t.Fatalf("%s is not in %s", old, list)
		}
		return sealed(record.Format, written, strings.Replace(string(list), old, with, 1))
	}
	if _, err := decode(sealed(record.Format, written, string(list)), date); err != nil {
		t.Fatalf("the correct file is refused: %v", err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "unexpected end of JSON input"},
		{"no JSON", []byte("breakers"), "invalid character"},
		{"other JSON", []byte(`[]`), "cannot unmarshal array"},
		{"no format", []byte(`{}`), "its format is 0"},
		{"a negative format", sealed(-1, written, "[]"), "its format is -1"},
		{"no checksum", []byte(`{"format":1,"written":"2026-11-23T12:00:00Z","breakers":[]}`), "checksum"},
		{"no time of writing", sealed(record.Format, "noon", "[]"), "when it was written"},
		{"no list", sealed(record.Format, written, `{}`), "not a list"},
		{"null", sealed(record.Format, written, `null`), "not a list"},
		{"something after it", append(sealed(record.Format, written, "[]"), "{}"...), "after top-level value"},
		{"no record", sealed(record.Format, written, `[1]`), "breaker 1 of it: json: cannot unmarshal number"},
		{"the second is no record", sealed(record.Format, written, string(list[:len(list)-1])+",{}]"), "breaker 2 of it: not as this version writes it"},
		{"unknown state", replaced(`"state":"open"`, `"state":"ajar"`), `no breaker.State has the name "ajar"`},
		{"unknown reason", replaced(`"slow_call_rate"`, `"bad_mood"`), `no breaker.Reason has the name "bad_mood"`},
		{"unknown mode", replaced(`"mode":"Enforce"`, `"mode":"enforce"`), `no breaker.Mode has the name "enforce"`},
		{"wrong type", replaced(`"openings":1`, `"openings":"1"`), "cannot unmarshal string"},
		{"a number that does not fit", replaced(`"openings":1`, `"openings":4294967296`), "cannot unmarshal number"},
		{"a duration without a unit", replaced(`"30s"`, `"30"`), "missing unit"},
		{"another form of a duration", replaced(`"30s"`, `"30000ms"`), "not as this version writes it"},
		{"no share", replaced(`"50%"`, `"half"`), "is no share"},
		{"a share that does not fit", replaced(`"50%"`, `"1e300%"`), "not as this version writes it"},
		{"a share that is no number", replaced(`"50%"`, `"NaN%"`), "not as this version writes it"},
		{"a multiplier below 0", replaced(`"multiplier":1`, `"multiplier":-1`), "not as this version writes it"},
		{"another form of a time", replaced(`"2026-11-23T11:59:50Z"`, `"ten to twelve"`), "parsing time"},
		{"no time", replaced(`"since":"2026-11-23T11:59:50Z"`, `"since":null`), "not as this version writes it"},
		{"field missing", replaced(`"openings":1,`, ``), "not as this version writes it"},
		{"field unknown", replaced(`"openings":1,`, `"openings":1,"mood":2,`), "not as this version writes it"},
		{"field twice", replaced(`"openings":1,`, `"openings":1,"openings":1,`), "not as this version writes it"},
		{"nested too deep", sealed(record.Format, written, strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), "exceeded max depth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode(tt.data, date)
			if err == nil {
				t.Fatalf("read as %+v", got)
			}
			wantText(t, err.Error(), tt.want)
			if newer := record.NewerError(0); errors.As(err, &newer) {
				t.Errorf("%v; want an error for a damaged file", err)
			}
		})
	}
}

// TestNewerFormats shows that a file with a newer format is not taken for a damaged one, whatever else is in it.
func TestNewerFormats(t *testing.T) {
	for _, data := range [][]byte{
		sealed(record.Format+1, "2026-11-23T12:00:00Z", "[]"),
		fmt.Appendf(nil, `{"format":%d}`, record.Format+1),
		fmt.Appendf(nil, `{"sha256":{"of":"parts"},"written":7,"breakers":"elsewhere","format":%d,"more":[]}`, record.Format+1),
	} {
		_, err := decode(data, date)
		if newer := record.NewerError(0); !errors.As(err, &newer) || newer <= record.Format {
			t.Errorf("%s: error %v, want one for a newer format", data, err)
		}
	}
}

// TestMemoryIsBounded shows that the memory for reading a file is in proportion to its size, whatever is in it.
func TestMemoryIsBounded(t *testing.T) {
	example, err := encode(examples()[1:2], date)
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	for name, element := range map[string]string{
		"records":      string(example[1 : len(example)-1]),
		"near records": `{"key":{"upstream":"a"}}`,
		"numbers":      "1",
		"lists":        "[]",
	} {
		list := "[" + strings.Repeat(element+",", size/(len(element)+1)) + element + "]"
		data := sealed(record.Format, "2026-11-23T12:00:00Z", list)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		saved, err := decode(data, date)
		runtime.GC()
		runtime.ReadMemStats(&after)
		if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 2*size {
			t.Errorf("%s: a file of %d bytes takes %d bytes of memory", name, size, held)
		}
		if (err == nil) != (name == "records") {
			t.Errorf("%s: error %v", name, err)
		}
		runtime.KeepAlive(saved)
		runtime.KeepAlive(data)
	}
}

// FuzzDecode shows that states that were read can be written and read again without a change. Its inputs are whole files, and
// lists that get a correct checksum.
func FuzzDecode(f *testing.F) {
	saved := examples()
	list, err := encode(saved, date)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded(f, saved...), false)
	f.Add(fmt.Appendf(nil, `{"format":%d}`, record.Format), false)
	f.Add([]byte(list), true)
	f.Add([]byte("[]"), true)
	f.Add([]byte(`[{}]`), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(record.Format, "2026-11-23T12:00:00Z", string(data))
		}
		first, err := decode(data, date)
		if err != nil {
			return
		}
		for _, s := range first {
			if s.Since > date.Instant {
				t.Errorf("the state begins %s after now", s.Since.Sub(date.Instant))
			}
		}
		second, err := decode(encoded(t, first...), date)
		if err != nil {
			t.Fatalf("the states cannot be read again after they were written again: %v", err)
		}
		slices.SortFunc(first, func(a, b breaker.Saved) int { return strings.Compare(fmt.Sprint(a.Key), fmt.Sprint(b.Key)) })
		slices.SortFunc(second, func(a, b breaker.Saved) int { return strings.Compare(fmt.Sprint(a.Key), fmt.Sprint(b.Key)) })
		same(t, second, first)
	})
}
