package peers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/core"
)

// Stats describe a router at one instant.
type Stats struct {
	core.Counters
	Self        string
	Epoch       uint64
	Members     []Neighbour   // this replica included; empty: there is no view yet
	Unreachable int           // members that this replica does not reach
	Owned       int           // breakers that this replica owns
	Here        int           // breakers that it decides about, also for an owner that it does not reach
	Asked       uint64        // permits that other replicas were asked for
	Unanswered  uint64        // of them, those that had no answer in time
	Withheld    uint64        // permits that were not given, since another replica may have given some
	Lag         time.Duration // the age of the oldest outcome that its owner has not confirmed
	MirrorAge   time.Duration // the longest time since a beat came from a member that owns breakers
}

// Neighbour is one member.
type Neighbour struct {
	ID, Name, Address string
	Reached           bool // by this replica, which reaches itself
	Owns              int  // breakers
}

// Stats returns what there is to tell at an instant.
func (r *Router) Stats(now breaker.Instant) Stats {
	r.mu.Lock()
	defer r.unlock()
	s := Stats{
		Self: r.o.Self.ID, Epoch: r.core.Epoch(), Unreachable: r.core.Unreached(), Here: r.core.Holds(), Counters: r.core.Counters,
		Asked: r.asked, Unanswered: r.unanswered, Withheld: r.withheld, Lag: r.core.Lag(now),
	}
	owns := map[string]int{}
	for key := range r.core.Specs() {
		owns[r.core.Owner(key)]++
	}
	s.Owned = owns[r.o.Self.ID]
	for _, m := range r.core.CurrentView().Members {
		n := Neighbour{ID: m.ID, Name: m.Name, Address: m.Address, Owns: owns[m.ID], Reached: m.ID == r.o.Self.ID}
		if p := r.core.Known(m.ID); p != nil {
			n.Reached = p.Reached
			if owns[m.ID] > 0 && p.Met {
				s.MirrorAge = max(s.MirrorAge, now.Sub(p.Heard))
			}
		}
		s.Members = append(s.Members, n)
	}
	return s
}

// OwnerOf returns the member that owns a breaker, by name, and whether this replica knows what that one decides. The name is ""
// where there are no members.
func (r *Router) OwnerOf(key breaker.Key) (name string, known bool) {
	r.mu.Lock()
	defer r.unlock()
	owner := r.core.Owner(key)
	for _, m := range r.core.CurrentView().Members {
		if m.ID == owner {
			name = m.Name
		}
	}
	return name, r.core.ReachesOwner(key)
}

// Collector returns the metrics of the router.
func (r *Router) Collector(now func() breaker.Instant) prometheus.Collector { return collector{r, now} }

type collector struct {
	router *Router
	now    func() breaker.Instant
}

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.router.Stats(c.now())
	gauge := func(name, help string, v float64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, v)
	}
	counter := func(name, help string, v uint64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, float64(v))
	}
	gauge("breakwater_replicas_members", "Replicas that share the breakers, this one included.", float64(len(s.Members)))
	gauge("breakwater_replicas_unreachable", "Members that this replica does not reach; above 0, it decides by a local view about breakers of theirs.", float64(s.Unreachable))
	gauge("breakwater_replicas_epoch", "The number of the present list of members. It grows with each change.", float64(s.Epoch))
	gauge("breakwater_replicas_breakers_owned", "Breakers that this replica owns. Breakers of single proxies do not count.", float64(s.Owned))
	gauge("breakwater_replicas_forward_lag_seconds", "The age of the oldest outcome that its owner has not confirmed; 0: there is none.", s.Lag.Seconds())
	gauge("breakwater_replicas_mirror_age_seconds", "The longest time since a message came from a member that owns breakers.", s.MirrorAge.Seconds())
	counter("breakwater_replicas_forwarded_outcomes_total", "Outcomes of calls that were sent to the owners of their breakers.", s.Forwarded)
	counter("breakwater_replicas_received_outcomes_total", "Outcomes of calls that other replicas have sent.", s.Received)
	counter("breakwater_replicas_dropped_outcomes_total", "Outcomes of calls that reached no owner.", s.Dropped)
	counter("breakwater_replicas_asked_permits_total", "Permits that owners of breakers were asked for.", s.Asked)
	counter("breakwater_replicas_unanswered_permits_total", "Permits that owners of breakers were asked for and that had no answer in time; the calls were rejected.", s.Unanswered)
	counter("breakwater_replicas_probes_withheld_total", "Permits that were not given, since another replica may have given as many.", s.Withheld)
	counter("breakwater_replicas_takeovers_total", "Breakers whose state this replica took over from another one.", s.Takeovers)
}
