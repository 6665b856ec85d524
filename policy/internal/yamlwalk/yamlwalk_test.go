package yamlwalk

import (
	"fmt"
	"testing"
	"time"
)

// walk reads one document with the field x, and returns the problems.
func walk(t *testing.T, text string, field Field) string {
	t.Helper()
	problems := ""
	docs, complete := Documents([]byte(text), Visitor{Report: func(p Problem) {
		problems += fmt.Sprintf("%d:%d %s = %s [%s]\n", p.Line, p.Col, p.Path, p.Got, p.Rule)
	}})
	if complete != (problems == "") {
		t.Errorf("complete is %v with problems %q", complete, problems)
	}
	for _, d := range docs {
		d.Object(Fields{"x": field})
	}
	return problems
}

func TestScalars(t *testing.T) {
	var (
		d     time.Duration
		n     uint32
		f     uint32
		b     bool
		size  uint64
		ratio uint32
		whole uint32
		secs  time.Duration
		word  string
		day   time.Weekday
	)
	for _, tc := range []struct {
		text  string
		field Field
		got   func() any
		want  any
	}{
		{"1h30m", Duration(&d, 0, 24*time.Hour), func() any { return d }, 90 * time.Minute},
		{"1.5s", Duration(&d, 0, time.Hour), func() any { return d }, 1500 * time.Millisecond},
		{"'0s'", Duration(&d, 0, time.Hour), func() any { return d }, time.Duration(0)},
		{"0", Integer(&n, 0, 5), func() any { return n }, uint32(0)},
		{"4294967295", Integer(&n, 0, 4294967295), func() any { return n }, uint32(4294967295)},
		{"1.25", Hundredths(&f, 100, 200), func() any { return f }, uint32(125)},
		{"1.5", Hundredths(&f, 100, 200), func() any { return f }, uint32(150)},
		{"2", Hundredths(&f, 100, 200), func() any { return f }, uint32(200)},
		{"true", Bool(&b), func() any { return b }, true},
		{"64KiB", Size(&size, 1<<20), func() any { return size }, uint64(65536)},
		{"3B", Size(&size, 1<<20), func() any { return size }, uint64(3)},
		{"0.25%", Percent(&ratio), func() any { return ratio }, uint32(25)},
		{"99.9%", Percent(&ratio), func() any { return ratio }, uint32(9990)},
		{"100%", Percent(&ratio), func() any { return ratio }, uint32(10000)},
		{"7%", WholePercent(&whole), func() any { return whole }, uint32(7)},
		{"0.125", Seconds(&secs, 0, time.Hour), func() any { return secs }, 125 * time.Millisecond},
		{"30", Seconds(&secs, 0, time.Hour), func() any { return secs }, 30 * time.Second},
		{"b", OneOf(&word, "a", "b"), func() any { return word }, "b"},
		{"Monday", Choice(&day, time.Sunday, time.Monday), func() any { return day }, time.Monday},
	} {
		if problems := walk(t, "x: "+tc.text, tc.field); problems != "" {
			t.Errorf("%s: %s", tc.text, problems)
		}
		if got := tc.got(); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.text, got, tc.want)
		}
	}
}

// A refused value leaves the old value in place.
func TestRefusedValuesChangeNothing(t *testing.T) {
	d, n, word, day, hundredths := time.Minute, uint32(7), "old", time.Friday, uint32(150)
	for text, field := range map[string]Field{
		"5":         Duration(&d, 0, time.Hour),
		"2h":        Duration(&d, 0, time.Hour),
		"9":         Integer(&n, 0, 8),
		"new":       OneOf(&word, "old", "older"),
		"Monday":    Choice(&day, time.Friday, time.Sunday),
		"1.255":     Hundredths(&hundredths, 100, 200),
		"2.01":      Hundredths(&hundredths, 100, 200),
		"0.99":      Hundredths(&hundredths, 100, 200),
		"-1.2":      Hundredths(&hundredths, 0, 200),
		"1e0":       Hundredths(&hundredths, 100, 200),
		".inf":      Hundredths(&hundredths, 100, 200),
		"'bad one'": Text(&word, "good", "bad", func(string) bool { return false }),
	} {
		if problems := walk(t, "x: "+text, field); problems == "" {
			t.Errorf("%s was taken", text)
		}
	}
	if d != time.Minute || n != 7 || word != "old" || day != time.Friday || hundredths != 150 {
		t.Errorf("got %s, %d, %q, %s, %d", d, n, word, day, hundredths)
	}
}

func TestPositionsAndPaths(t *testing.T) {
	const text = "# a comment\n---\nx:\n- y:\n    é: 1\n  'a b': [2]\n"
	var got string
	var show func(v Value)
	show = func(v Value) {
		got += fmt.Sprintf("%d %s = %s\n", v.Line(), v.Path(), v.Got())
		if v.IsObject() {
			v.Entries(func(_ string, _, value Value) { show(value) })
		}
	}
	if problems := walk(t, text, func(v Value) { v.Each(show) }); problems != "" {
		t.Fatal(problems)
	}
	const want = `4 x[0] = an object
5 x[0].y = an object
5 x[0].y["é"] = 1
6 x[0]["a b"] = a list
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"timeout", "failureRateThreshold", "mode", "dns", "slow_call_duration_seconds"}
	for name, want := range map[string]string{
		"timeOut": "timeout", "timout": "timeout", "failure_rate_threshold": "failureRateThreshold",
		"failureRate": "", "node": "mode", "x": "", "dms": "dns", "": "",
		"slow_call_duration": "slow_call_duration_seconds", "slow_call": "",
	} {
		if got, ok := Nearest(name, words); got != want || ok != (want != "") {
			t.Errorf("Nearest(%q) = %q, %v, want %q", name, got, ok, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", 90 * time.Second: "1m30s", 5 * time.Minute: "5m",
		24 * time.Hour: "24h", time.Hour + time.Second: "1h0m1s", 250 * time.Millisecond: "250ms", 10 * time.Minute: "10m",
		100 * time.Hour: "100h",
	} {
		got := FormatDuration(d)
		if got != want {
			t.Errorf("FormatDuration(%d) = %s, want %s", d, got, want)
		}
		if back, err := time.ParseDuration(got); err != nil || back != d {
			t.Errorf("%s is read as %s, %v", got, back, err)
		}
	}
}
