package resource

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"
)

// model is a list as a plain map of versions.
type model map[string]string

func plain(name, version string) *Resource {
	return New(name, version, &anypb.Any{TypeUrl: "type", Value: []byte(version)})
}

// resources returns the resources of a model, sorted.
func (m model) resources() []*Resource {
	var all []*Resource
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, plain(name, m[name]))
	}
	return all
}

// holds demands that a list is as the model says.
func (m model) holds(t *rapid.T, what string, l *List) {
	t.Helper()
	got, names := model{}, []string(nil)
	for _, r := range l.All() {
		got[r.Name], names = r.Version, append(names, r.Name)
		if l.Find(r.Name) != r {
			t.Fatalf("%s: %q is not found", what, r.Name)
		}
	}
	if !maps.Equal(got, m) || !slices.IsSorted(names) || l.Len() != len(m) {
		t.Fatalf("%s: got %v, want %v", what, names, m)
	}
	bytes := 0
	for _, name := range names {
		bytes += len(name)
	}
	if l.NameBytes() != bytes {
		t.Fatalf("%s: the names have %d bytes, want %d", what, l.NameBytes(), bytes)
	}
}

// someOf draws lists that are shorter and longer than those that are shared.
func someOf(t *rapid.T, label string) model {
	m := model{}
	for range rapid.IntRange(0, 3*Few).Draw(t, label) {
		m[rapid.StringMatching(`[a-h][0-9]?`).Draw(t, label)] = rapid.SampledFrom([]string{"1", "2"}).Draw(t, label)
	}
	return m
}

// TestListsAreAsPlainMaps: whatever is done to a list, and whichever lists share its memory, it is as a map would be.
func TestListsAreAsPlainMaps(t *testing.T) {
	shared := 0
	rapid.Check(t, func(t *rapid.T) {
		pool := &Pool{}
		was, is := someOf(t, "before"), someOf(t, "after")
		before, after := pool.List(was.resources()), pool.List(is.resources())
		was.holds(t, "a list", before)
		change := after.Since(before)
		next, left := maps.Clone(was), []string(nil)
		for _, r := range change.Changed {
			next[r.Name] = r.Version
		}
		for _, r := range change.Gone {
			delete(next, r.Name)
			left = append(left, r.Name)
		}
		is.holds(t, "the change", pool.List(next.resources()))
		with := before.With(pool, change.Changed, append(left, "unheard-of"))
		is.holds(t, "the list with the change", with)
		if !with.Same(after) || with.Same(before) != maps.Equal(was, is) || len(is) > Few && with != after {
			t.Fatalf("a list with the change is the same as %d resources: %t", len(is), with.Same(after))
		}
		for _, name := range change.Updated {
			if was[name] == "" || was[name] == is[name] {
				t.Fatalf("%q is updated from %q to %q", name, was[name], is[name])
			}
		}
		if len(change.Changed) > 0 {
			checkBatches(t, before, after)
		}
		checkNames(t, pool, is, after)
		if len(is) > Few {
			shared++
		}
	})
	if shared == 0 {
		t.Error("no list was long enough to be shared")
	}
}

// checkBatches demands that batches lead from one list to the other, except for resources that no longer exist.
func checkBatches(t *rapid.T, before, after *List) {
	most := rapid.IntRange(1, 500).Draw(t, "bytes")
	has, rounds := before, 0
	for len(after.Since(has).Changed) > 0 {
		b, size := after.Batch(has, most), 0
		for _, r := range b.Changed {
			size += r.Size()
		}
		if len(b.Changed) == 0 || len(b.Changed) > 1 && size > most {
			t.Fatalf("a batch has %d resources with %d bytes, want at most %d", len(b.Changed), size, most)
		}
		for _, name := range b.Updated {
			if has.Find(name) == nil {
				t.Fatalf("%q is updated, and is new", name)
			}
		}
		if has = b.After; rounds > after.Len() {
			t.Fatal("no end")
		}
		rounds++
	}
	if len(after.Since(has).Gone) == 0 && has != after && after.Len() > Few {
		t.Fatal("at the end it is another list")
	}
}

// checkNames demands that names select resources as a map would.
func checkNames(t *rapid.T, pool *Pool, is model, list *List) {
	var names *Names
	want := map[string]bool{}
	word := rapid.StringMatching(`[a-h][0-9]?`)
	for range rapid.IntRange(1, 3).Draw(t, "requests") {
		add := rapid.SliceOfN(word, 0, 2*Few).Draw(t, "add")
		drop := rapid.SliceOfN(word, 0, 5).Draw(t, "drop")
		for _, name := range add {
			want[name] = true
		}
		for _, name := range drop {
			delete(want, name)
		}
		names = names.Change(pool, add, drop)
		if !slices.Equal(names.All(), slices.Sorted(maps.Keys(want))) {
			t.Fatalf("the names are %q, want %v", names.All(), want)
		}
	}
	some, missing := model{}, []string(nil)
	for _, name := range names.All() {
		if is[name] != "" {
			some[name] = is[name]
		} else {
			missing = append(missing, name)
		}
		if !names.Has(name) || names.Has(name+"x") {
			t.Fatalf("%q is not among the names", name)
		}
	}
	some.holds(t, "the named resources", list.Named(names))
	if !slices.Equal(list.Missing(names), missing) {
		t.Fatalf("missing are %q, want %q", list.Missing(names), missing)
	}
}

// long returns a list that is long enough to be shared.
func long(pool *Pool, version string) *List {
	var all []*Resource
	for i := range 2 * Few {
		all = append(all, plain(fmt.Sprintf("u%03d", i), version))
	}
	return pool.List(all)
}

// TestEqualListsAreShared, however they came about, and are forgotten when nothing refers to them.
func TestEqualListsAreShared(t *testing.T) {
	pool := &Pool{}
	one, versions := long(pool, "1"), []Version(nil)
	for _, r := range one.All() {
		versions = append(versions, Version{r.Name, r.Version})
	}
	if long(pool, "1") != one || pool.Claimed(versions) != one || long(pool, "2") == one {
		t.Error("equal lists are not shared, or others are")
	}
	if got := one.With(pool, []*Resource{plain("u007", "2")}, nil).With(pool, []*Resource{plain("u007", "1")}, nil); got != one {
		t.Error("a list that changes and changes back is another one")
	}
	if one.Version() != long(nil, "1").Version() || one.Version() == long(nil, "2").Version() {
		t.Error("the version does not depend on the content alone")
	}
	runtime.KeepAlive(one)
	one = nil
	deadline := time.Now().Add(10 * time.Second)
	left := func() int {
		pool.lists.mu.Lock()
		defer pool.lists.mu.Unlock()
		return len(pool.lists.all)
	}
	for left() > 0 {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d lists are remembered that nothing refers to", left())
		}
		runtime.Gosched()
	}
}

// TestRemember: a result is made once for all callers, and a list remembers a bounded number.
func TestRemember(t *testing.T) {
	list, made := long(&Pool{}, "1"), 0
	type key struct{ text string }
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			Remember(list, key{"one"}, func() int { made++; return made })
		})
	}
	callers.Wait()
	if got := Remember(list, key{"one"}, func() int { return 2 }); got != 1 {
		t.Errorf("the result is %d, want that of the first call", got)
	}
	for i := range 2 * most {
		if got := Remember(list, key{strconv.Itoa(i)}, func() int { return i }); got != i {
			t.Errorf("the result is %d, want %d", got, i)
		}
	}
	if len(list.memo.all) != most {
		t.Errorf("%d results are remembered, want %d", len(list.memo.all), most)
	}
}
