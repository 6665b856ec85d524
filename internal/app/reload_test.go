package app

import (
	"log/slog"
	"strings"
	"testing"

	"breakwater.dev/internal/exposition"
	"breakwater.dev/policy"
)

// TestATouchedPolicyIsNotPublished: files that are written again with the same content count as a load, and change nothing.
// Endpoints that were published meanwhile stay. A publication would replace them by the endpoints in the files.
func TestATouchedPolicyIsNotPublished(t *testing.T) {
	b := newBench(t, mesh)
	before := b.current.Load()
	must(t, b.xds.PublishEndpoints("adaptive", []policy.Endpoint{}))
	write(t, b.options.Policy[0], mesh)
	must(t, b.reload())
	if b.current.Load() != before {
		t.Error("another set is in force")
	}
	if got := b.endpoints("adaptive"); len(got) > 0 {
		t.Errorf("proxies get the endpoints %v, want none", got)
	}
	if page := b.scrape(); !strings.Contains(page, "breakwater_reload_total{result=\"success\"} 2\n") {
		t.Errorf("the metrics do not count 2 loads:\n%s", page)
	}

	write(t, b.options.Policy[0], "# another line\n"+mesh)
	must(t, b.reload())
	if now := b.current.Load(); now == before || now.Revision != before.Revision || now.Upstreams[0].Origin == before.Upstreams[0].Origin {
		t.Errorf("the set in force is still the one of before, or means something else: %v", now)
	}
	if got := b.endpoints("adaptive"); len(got) == 0 {
		t.Error("proxies do not get the endpoints of the files")
	}
}

// TestNotesAreLoggedOnce: a reload logs the notes that are new, and no note of upstreams that did not change.
func TestNotesAreLoggedOnce(t *testing.T) {
	surprising := strings.Replace(good, "dataPath: Inline", "fallback: {cached: {keyHeaders: []}}", 1)
	o := options(t, surprising)
	var log strings.Builder
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	a := publishing(t, o)
	must(t, a.reload())
	a.announce()
	for _, step := range []struct {
		text string
		want int // notes in the log since the start
	}{{surprising + fresh, 1}, {good + fresh, 1}, {surprising + fresh, 2}} {
		write(t, o.Policy[0], step.text)
		must(t, a.reload())
		if got := strings.Count(log.String(), "may surprise"); got != step.want {
			t.Errorf("%d notes are in the log, want %d:\n%s", got, step.want, log.String())
		}
	}
	if page := exposition.Scrape(t, a.metrics); !strings.Contains(page, "breakwater_reload_last_successful 1\n") {
		t.Errorf("the last load has failed:\n%s", page)
	}
}
