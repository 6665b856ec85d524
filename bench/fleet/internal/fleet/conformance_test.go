package fleet

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAsksAsEnvoyDoes: a simulated proxy sends the very requests that a real Envoy sends, in every step of a story. Streams
// are compared one by one, since the order between two of them is chance.
func TestAsksAsEnvoyDoes(t *testing.T) {
	for name, overADS := range map[string]bool{"layers over ADS": true, "layers over streams of their own": false} {
		t.Run(name, func(t *testing.T) {
			var real, simulated scripted
			streams := 3
			if overADS {
				streams = 1
			}
			address := real.listen(t)
			want := real.story(t, streams, func() { startEnvoy(t, bootstrapOf(t, address, overADS, "one", "two")) })
			address = simulated.listen(t)
			got := simulated.story(t, streams, func() {
				startFleet(t, address, bootstrapOf(t, address, overADS, "one", "two"), nil)
			})
			for _, step := range slices.Sorted(maps.Keys(want)) {
				for _, stream := range []string{"ADS", "RTDS"} {
					if w, g := selected(stream, want[step]), selected(stream, got[step]); w != g {
						t.Errorf("%s, %s: the simulated proxy sent\n%s\nand Envoy\n%s", step, stream, g, w)
					}
				}
			}
			if ratio := float64(simulated.node) / float64(real.node); ratio < 0.8 || ratio > 1.25 {
				t.Errorf("the simulated proxy describes itself in %d bytes, Envoy in %d", simulated.node, real.node)
			}
		})
	}
}

// selected returns the requests of one kind of stream.
func selected(stream string, requests []string) string {
	var lines []string
	for _, r := range requests {
		if strings.HasPrefix(r, stream+" ") {
			lines = append(lines, r)
		}
	}
	if stream == "RTDS" {
		slices.Sort(lines) // each layer has a stream
	}
	return strings.Join(lines, "\n")
}
