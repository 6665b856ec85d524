package stand_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater.dev/examples/shop/stand"
	"breakwater.dev/internal/processes"
)

// queries returns the queries of the dashboard, by the title of their panel. Its variables are
// replaced by the values that select everything.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/grafana/breakwater.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title, Type, Description string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "15s", "$service", ".*", "$route", ".*")
	all := map[string][]string{}
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 || all[p.Title] != nil {
			t.Errorf("panel %q has no description, no query, or the title of another", p.Title)
		}
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], variables.Replace(target.Expr))
		}
	}
	return all
}

// startPrometheus starts a real Prometheus that scrapes the control plane of a stand.
func startPrometheus(t *testing.T, r *rig) (address string) {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("prometheus is not there; on Debian: apt-get install prometheus: %v", err)
	}
	dir := t.TempDir()
	rules, err := filepath.Abs("../../../deploy/prometheus/rules.yaml")
	must(t, err)
	config := filepath.Join(dir, "prometheus.yaml")
	scraped := strings.TrimPrefix(r.ControlPlane(), "http://")
	must(t, os.WriteFile(config, fmt.Appendf(nil, "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\n"+
		"scrape_configs: [{job_name: breakwater, static_configs: [{targets: [%q]}]}]\n", rules, scraped), 0o644))
	address = strings.TrimSuffix(scraped, "18080") + "9090"
	p, err := processes.Launch(dir, processes.Command{Name: "prometheus", Path: path,
		Args: []string{"--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address}})
	must(t, err)
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, p.Answers(t.Context(), "http://"+address+"/-/ready"))
	return address
}

// series counts the series of a query from since until now. Series with only NaN do not count.
func series(ctx context.Context, address, query string, since time.Time) (int, error) {
	v := url.Values{"query": {query}, "start": {fmt.Sprint(since.Unix())}, "end": {fmt.Sprint(time.Now().Unix())}, "step": {"1"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/query_range?"+v.Encode(), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Values [][2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Error != "" {
		return 0, errors.New(answer.Error)
	}
	n := 0
	for _, s := range answer.Data.Result {
		for _, v := range s.Values {
			if v[1] != "NaN" {
				n++
				break
			}
		}
	}
	return n, nil
}

// data returns an error if a query has no data.
func data(ctx context.Context, address, query string, since time.Time) error {
	n, err := series(ctx, address, query, since)
	if err == nil && n == 0 {
		err = errors.New("no data")
	}
	return err
}

func has(t *testing.T, address, query string, since time.Time) {
	t.Helper()
	eventually(t, query, func() error { return data(t.Context(), address, query, since) })
}

// TestDashboard checks that every query of the dashboard has data after a run of the shop in
// which a dependency failed and recovered.
func TestDashboard(t *testing.T) {
	t.Parallel()
	r := newRig(t, stand.Options{Recovery: 2 * time.Second})
	address := startPrometheus(t, r)
	began := time.Now()
	r.recovers(t)
	// Changes before the first scrape have no rate.
	has(t, address, "count_over_time(up[1m]) > 1", began)
	r.API.Fails()
	r.degraded(t)
	r.API.Works()
	r.recovers(t)
	all := queries(t)
	if len(all) < 20 {
		t.Fatalf("%d panels, want at least 20", len(all))
	}
	for title, queries := range all {
		for _, q := range queries {
			eventually(t, fmt.Sprintf("panel %q: %s", title, q), func() error {
				must(t, r.Redis.Empty(t.Context())) // so that the call below reaches all three dependencies
				if a := r.user(t, 1); a.status != http.StatusOK {
					return fmt.Errorf("got %d", a.status)
				}
				return data(t.Context(), address, q, began)
			})
		}
	}
}
