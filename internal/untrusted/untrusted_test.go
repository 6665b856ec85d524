package untrusted

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestNameAndMessage(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"payments-0", "payments-0"},
		{"zwölf", "zwölf"},
		{"a\nlevel=ERROR msg=\"forged\"", `a\nlevel=ERROR msg="forged"`},
		{"\x1b[2Jred", `\x1b[2Jred`},
		{"\xff\x00", `\xff\x00`},
		{"\u202egnp.exe", `\u202egnp.exe`},
	} {
		if got := Message(tt.in); got != tt.want {
			t.Errorf("Message(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	long := strings.Repeat("ü", 1_000)
	if got, want := Name(long), strings.Repeat("ü", 128)+"… (2000 bytes)"; got != want {
		t.Errorf("Name of 2000 bytes = %q, want %q", got, want)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("a\x00\xff")
	f.Add(strings.Repeat("\n", 4_000))
	f.Fuzz(func(t *testing.T, s string) {
		got := Message(s)
		if len(got) > MessageLength+40 || !utf8.ValidString(got) {
			t.Fatalf("Message(%q) = %q", s, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("Message(%q) = %q, which has %q", s, got, r)
			}
		}
	})
}

func TestNames(t *testing.T) {
	var all []string
	for i := range 12 {
		all = append(all, fmt.Sprint("n", i))
	}
	want := []string{"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "… and 2 more"}
	if diff := cmp.Diff(want, Names(all)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"n0"}, Names(all[:1])); diff != "" {
		t.Error(diff)
	}
}

func TestNameAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Name("payments-7d9f8b6c5d-x2x4k") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestLimiter shows that each peer has its own allowance, and that a line comes with the number of lines left out
// before it.
func TestLimiter(t *testing.T) {
	const burst, rate = 50, 2
	l := Limiter[string]{Each: Rate{burst, rate}, All: Rate{2_000, 50}}
	now := time.Unix(1_000, 0)
	passed := func(peer string, n int) (lines int, silent uint64) {
		for range n {
			ok, missed := l.Allow(peer, now)
			if ok {
				lines, silent = lines+1, silent+missed
			}
		}
		return lines, silent
	}
	if got, silent := passed("a", 10_000); got != burst || silent != 0 {
		t.Errorf("%d lines of a flood, %d missing; want %d, 0", got, silent, burst)
	}
	if got, silent := passed("b", 1); got != 1 || silent != 10_000-burst {
		t.Errorf("%d lines of another peer, %d missing; want 1, %d", got, silent, 10_000-burst)
	}
	now = now.Add(10 * time.Second)
	if got, _ := passed("a", 10_000); got != 10*rate {
		t.Errorf("%d lines after 10 s, want %d", got, 10*rate)
	}
	now = now.Add(time.Hour)
	lines := 0
	for i := range 100_000 {
		n, _ := passed(fmt.Sprint("peer ", i), 1)
		lines += n
	}
	if want := maxKeys + burst; lines != want {
		t.Errorf("%d lines about 100,000 peers at once, want %d", lines, want)
	}
	if len(l.keys) > maxKeys {
		t.Errorf("%d keys are remembered, want at most %d", len(l.keys), maxKeys)
	}
	now = now.Add(time.Hour)
	if got, _ := passed("late", 1); got != 1 || len(l.keys) != 1 {
		t.Errorf("after an hour %d lines, %d keys; want 1, 1", got, len(l.keys))
	}
}

// TestLimiterWithBurstOfOne allows one line about a key in 10 s, and lines about two keys at once.
func TestLimiterWithBurstOfOne(t *testing.T) {
	type key struct{ name string }
	l := Limiter[key]{Each: Rate{1, .1}, All: Rate{2, .2}}
	begin := time.Unix(1_000, 0)
	for i, step := range []struct {
		at     time.Duration
		name   string
		ok     bool
		silent uint64
	}{
		{0, "a", true, 0},
		{1, "a", false, 0},
		{2, "b", true, 1},
		{3, "c", false, 0}, // the burst of all keys is two lines
		{9, "a", false, 0},
		{10, "a", true, 2},
		{11, "b", false, 0},
		{12, "b", true, 1},
		{30, "a", true, 0},
	} {
		ok, silent := l.Allow(key{step.name}, begin.Add(step.at*time.Second))
		if ok != step.ok || silent != step.silent {
			t.Errorf("step %d, %q after %d s: %t, %d silent, want %t, %d", i, step.name, step.at, ok, silent, step.ok, step.silent)
		}
	}
}
