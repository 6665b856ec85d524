package metrics

import (
	"log/slog"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/typical"
	"breakwater.dev/outlier"
)

// at is the instant when d has passed.
func at(d time.Duration) breaker.Instant { return breaker.Instant(d) }

// statuses is an [Engine] whose breakers a function appends.
type statuses func(dst []breaker.Status) []breaker.Status

func (s statuses) AppendSnapshot(dst []breaker.Status, _ breaker.Instant) []breaker.Status {
	return s(dst)
}

// these are breakers that stay as they are, each with the default config where it has none.
func these(all ...breaker.Status) statuses {
	c := breaker.DefaultConfig()
	for i := range all {
		if all[i].Config == nil {
			all[i].Config = &c
		}
	}
	return func(dst []breaker.Status) []breaker.Status { return append(dst, all...) }
}

// still is a [Clock] that stands still, at the time of the typical mesh.
type still struct{}

func (still) Now() breaker.Instant             { return 0 }
func (still) Wall(i breaker.Instant) time.Time { return typical.Wall(i) }

// judged are [Outliers] that stay as they are.
type judged []outlier.Status

func (j judged) Snapshot() []outlier.Status { return j }

// showing returns the metrics of an engine's breakers.
func showing(e Engine) *Metrics {
	return New(Options{Engine: e, Clock: still{}, Log: slog.New(slog.DiscardHandler)})
}
