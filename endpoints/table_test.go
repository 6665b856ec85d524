package endpoints_test

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
)

func endpoint(last byte, zone string) policy.Endpoint {
	return policy.Endpoint{Address: netip.AddrFrom4([4]byte{10, 0, 0, last}), Port: 80, Weight: 1, Zone: zone}
}

func address(last byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 80)
}

// set returns a set with the endpoints of these upstreams.
func set(upstreams map[string][]policy.Endpoint) *policy.Set {
	s := &policy.Set{}
	for _, name := range slices.Sorted(maps.Keys(upstreams)) {
		s.Upstreams = append(s.Upstreams, &policy.Upstream{Name: name, Endpoints: upstreams[name]})
	}
	return s
}

func TestFromSet(t *testing.T) {
	both := []policy.Endpoint{endpoint(2, "a"), endpoint(1, "b")}
	s := set(map[string][]policy.Endpoint{"web": both})
	s.Upstreams = append(s.Upstreams, &policy.Upstream{Name: "x", DNS: &policy.DNS{Name: "x.example", Port: 80}})
	table := endpoints.FromSet(s)
	if got, known := table.Upstream("web"); !known || !slices.Equal(got.Endpoints, both) || got.Ejected != nil {
		t.Errorf("web has %v, %t; want %v in this order, none ejected", got, known, both)
	}
	for _, name := range []string{"x", "unheard-of"} {
		if got, known := table.Upstream(name); known || got.Endpoints != nil {
			t.Errorf("%s has %v, %t; want nothing", name, got, known)
		}
	}
}

func TestEjectionsAreApartFromEndpoints(t *testing.T) {
	table := new(endpoints.Table).Eject("web", []netip.AddrPort{address(3), address(1), address(3)})
	if _, known := table.Upstream("web"); known {
		t.Error("ejections alone make an upstream known")
	}
	table = table.With("web", []policy.Endpoint{endpoint(1, ""), endpoint(2, "")})
	web, known := table.Upstream("web")
	if want := []netip.AddrPort{address(1), address(3)}; !known || !slices.Equal(web.Ejected, want) {
		t.Errorf("ejected are %v, %t; want %v", web.Ejected, known, want)
	}
	if !web.IsEjected(web.Endpoints[0]) || web.IsEjected(web.Endpoints[1]) {
		t.Errorf("the wrong endpoint of %v is ejected", web)
	}
	table = table.With("web", nil)
	if web, known = table.Upstream("web"); !known || len(web.Endpoints) > 0 || len(web.Ejected) != 2 {
		t.Errorf("web has %v, %t; want no endpoint and two ejections", web, known)
	}
	other := new(endpoints.Table).Eject("shop", []netip.AddrPort{address(1)})
	if got := table.EjectAs(other).Ejecting(); !slices.Equal(got, []string{"shop"}) {
		t.Errorf("with the ejections of another table, %q have some; want shop", got)
	}
}

// TestTheSameTableForNoChange, so that the caller sees that there is nothing to publish.
func TestTheSameTableForNoChange(t *testing.T) {
	table := new(endpoints.Table).With("web", []policy.Endpoint{endpoint(1, "")}).Eject("web", []netip.AddrPort{address(1), address(2)})
	for name, got := range map[string]*endpoints.Table{
		"endpoints":    table.With("web", []policy.Endpoint{endpoint(1, "")}),
		"ejections":    table.Eject("web", []netip.AddrPort{address(2), address(1)}),
		"no ejections": table.Eject("shop", nil),
	} {
		if got != table {
			t.Errorf("%s: got another table", name)
		}
	}
	if table.With("shop", nil) == table {
		t.Error("an upstream that has no endpoint is the same as an unknown one")
	}
}

// TestTablesKeepTheirLists: a caller may reuse the lists that it gave.
func TestTablesKeepTheirLists(t *testing.T) {
	all, ejected := []policy.Endpoint{endpoint(1, "")}, []netip.AddrPort{address(2), address(1)}
	table := new(endpoints.Table).With("web", all).Eject("web", ejected)
	if ejected[0] != address(2) {
		t.Error("Eject has sorted the caller's list")
	}
	all[0], ejected[0] = endpoint(9, ""), address(9)
	if got, _ := table.Upstream("web"); got.Endpoints[0] != endpoint(1, "") || got.Ejected[1] != address(2) {
		t.Errorf("the table has changed to %v", got)
	}
}

// model is a table as two plain maps.
type model struct {
	endpoints map[string][]policy.Endpoint
	ejected   map[string][]netip.AddrPort
}

// table returns the model as a table that is made from scratch.
func (m model) table() *endpoints.Table {
	t := endpoints.FromSet(set(m.endpoints))
	for name, ejected := range m.ejected {
		t = t.Eject(name, ejected)
	}
	return t
}

var (
	names   = rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("u", rapid.IntRange(0, 400).Draw(t, "upstream")) })
	numbers = rapid.SliceOfNDistinct(rapid.ByteRange(1, 4), 0, 3, rapid.ID[byte])
)

// TestEverySequenceOfChanges: a table after any sequence of changes equals a table that is made from scratch, and no earlier
// table has changed.
func TestEverySequenceOfChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := model{map[string][]policy.Endpoint{}, map[string][]netip.AddrPort{}}
		for _, name := range rapid.SliceOf(names).Draw(t, "set") {
			want.endpoints[name] = []policy.Endpoint{endpoint(1, "")}
		}
		table := want.table()
		var earlier, scratch []*endpoints.Table
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			earlier, scratch = append(earlier, table), append(scratch, want.table())
			name := names.Draw(t, "name")
			all, ejected := []policy.Endpoint{}, []netip.AddrPort{}
			for _, n := range numbers.Draw(t, "endpoints") {
				all, ejected = append(all, endpoint(n, "z")), append(ejected, address(n))
			}
			if rapid.Bool().Draw(t, "eject") {
				table, want.ejected[name] = table.Eject(name, ejected), ejected
			} else {
				table, want.endpoints[name] = table.With(name, all), all
			}
		}
		for i, table := range append(earlier, table) {
			if fresh := append(scratch, want.table())[i]; !reflect.DeepEqual(table, fresh) {
				t.Fatalf("the table after %d changes is another one than from scratch", i)
			}
		}
		maps.DeleteFunc(want.ejected, func(_ string, ejected []netip.AddrPort) bool { return len(ejected) == 0 })
		if got, ejecting := table.Ejecting(), slices.Sorted(maps.Keys(want.ejected)); !slices.Equal(got, ejecting) {
			t.Errorf("%q have ejections, want %q", got, ejecting)
		}
	})
}

// BenchmarkWith changes the endpoints of one upstream.
func BenchmarkWith(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("upstreams=%d", n), func(b *testing.B) {
			all := map[string][]policy.Endpoint{}
			for i := range n {
				all[fmt.Sprint("u", i)] = []policy.Endpoint{endpoint(1, "")}
			}
			table := endpoints.FromSet(set(all))
			two := [][]policy.Endpoint{{endpoint(2, "")}, {endpoint(3, "")}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				table = table.With("u7", two[i%2])
			}
		})
	}
}
