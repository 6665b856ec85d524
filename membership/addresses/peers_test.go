package addresses

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// TestParse shows how a list of replicas is read, and which lists are refused with which example.
func TestParse(t *testing.T) {
	for _, tt := range []struct {
		list []string
		want Peers
		err  string
	}{
		{nil, Peers{}, ""},
		{[]string{"breakwater.mesh:18000"}, Peers{Name: "breakwater.mesh", Port: "18000"}, ""},
		{[]string{"10.0.0.1:18000"}, Peers{List: []string{"10.0.0.1:18000"}}, ""},
		{[]string{"[fd00::1]:65535"}, Peers{List: []string{"[fd00::1]:65535"}}, ""},
		{[]string{"a.mesh:1", "b.mesh:1"}, Peers{List: []string{"a.mesh:1", "b.mesh:1"}}, ""},
		{[]string{"10.0.0.1:1", "10.0.0.1:2"}, Peers{List: []string{"10.0.0.1:1", "10.0.0.1:2"}}, ""},
		{[]string{"10.0.0.1"}, Peers{}, `"10.0.0.1" has to be host:port, such as 10.0.0.1:18000`},
		{[]string{"fd00::1"}, Peers{}, `such as [fd00::1]:18000`},
		{[]string{":18000"}, Peers{}, `has to be host:port, such as`},
		{[]string{""}, Peers{}, `such as 10.0.0.1:18000`},
		{[]string{"a:b:c"}, Peers{}, `such as 10.0.0.1:18000`},
		{[]string{"10.0.0.1]x"}, Peers{}, `such as 10.0.0.1:18000`},
		{[]string{"a.mesh:"}, Peers{}, `has to have a port from 1 to 65535, such as a.mesh:18000`},
		{[]string{"a.mesh:0"}, Peers{}, `has to have a port from 1 to 65535`},
		{[]string{"a.mesh:65536"}, Peers{}, `has to have a port from 1 to 65535`},
		{[]string{"a.mesh:http"}, Peers{}, `has to have a port from 1 to 65535`},
		{[]string{"[fd00::1]:x"}, Peers{}, `such as [fd00::1]:18000`},
		{[]string{"a.mesh:1", "b.mesh:1", "a.mesh:1"}, Peers{}, `"a.mesh:1" is there twice`},
		{[]string{"a.mesh:1", "A.mesh.:01"}, Peers{}, `"a.mesh:1" and "A.mesh.:01" are the same address`},
		{[]string{"10.0.0.1:1", "[::ffff:10.0.0.1]:1"}, Peers{}, `are the same address`},
		{[]string{"[fd00::1]:1", "[fd00:0::1]:1"}, Peers{}, `are the same address`},
	} {
		got, err := Parse(tt.list)
		if !slices.Equal(got.List, tt.want.List) || got.Name != tt.want.Name || got.Port != tt.want.Port {
			t.Errorf("%q: got %+v, want %+v", tt.list, got, tt.want)
		}
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: got %v, want %q", tt.list, err, tt.err)
		}
		if given := len(tt.list) > 0 && tt.err == ""; got.Given() != given {
			t.Errorf("%q: other replicas are given: %t, want %t", tt.list, got.Given(), given)
		}
	}
}

// FuzzParse shows that each address of a list that is accepted can be split and has a port, that no two are the same, and that the example in an error
// is a good address itself.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a.mesh:1", "10.0.0.1:1,[::ffff:10.0.0.1]:1", "fd00::1", "[fd00::1%eth0]:1,b:2", "a:b:c", "[]:1", "[a]]:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := strings.Split(text, ",")
		got, err := Parse(list)
		if err != nil {
			if got.Given() {
				t.Fatalf("%q is refused, and gives %+v", list, got)
			}
			const before = ", such as "
			if _, example, ok := strings.Cut(err.Error(), before); ok && !strings.Contains(text, before) {
				if _, err := Parse([]string{example}); err != nil {
					t.Fatalf("%q: the example %q is bad: %v", list, example, err)
				}
			}
			return
		}
		seen := map[string]bool{}
		for _, one := range got.List {
			host, port, err := net.SplitHostPort(one)
			if err != nil || host == "" || port == "" || seen[canonical(host, port)] {
				t.Fatalf("%q gives %q", list, got.List)
			}
			seen[canonical(host, port)] = true
		}
		if got.Name != "" && (len(list) != 1 || len(got.List) > 0) {
			t.Fatalf("%q gives %+v", list, got)
		}
	})
}
