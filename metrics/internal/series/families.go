package series

import (
	"breakwater.dev/breaker"
)

// family is one metric.
type family struct {
	head   string // HELP and TYPE
	encode func(e *encoder, st *breaker.Status, s *series)
}

const prefix = "circuit_breaker_"

// head returns the comments before the samples. Help has nothing to be escaped.
func head(name, kind, help string) string {
	return "# HELP " + prefix + name + " " + help + "\n# TYPE " + prefix + name + " " + kind + "\n"
}

func counter(name, help string, value func(*breaker.Status) uint64) family {
	return whole(name, "counter", help, value)
}

func gauge(name, help string, value func(*breaker.Status) uint64) family {
	return whole(name, "gauge", help, value)
}

// whole is a metric whose values are whole numbers.
func whole(name, kind, help string, value func(*breaker.Status) uint64) family {
	start := prefix + name + "{"
	return family{head(name, kind, help), func(e *encoder, st *breaker.Status, s *series) {
		e.begin(start, st)
		e.count("} ", value(st))
	}}
}

// ratio is a share of the calls in the window.
func ratio(name, help string, part func(breaker.WindowCounts) uint64) family {
	start := prefix + name + "{"
	help += ", from 0 to 1. Absent while the window has fewer calls than the policy's minimum."
	return family{head(name, "gauge", help), func(e *encoder, st *breaker.Status, s *series) {
		if w := st.Window; w.Calls > 0 && w.Calls >= uint64(st.Config.MinimumNumberOfCalls) {
			e.begin(start, st)
			e.float("} ", float64(part(w))/float64(w.Calls))
		}
	}}
}

// durations is a histogram; the function of returns nil where it has counted nothing.
func durations(name, help string, scale *scale, of func(*series) *histogram) family {
	bucket, sum, count := prefix+name+"_bucket{", prefix+name+"_sum{", prefix+name+"_count{"
	return family{head(name, "histogram", help), func(e *encoder, st *breaker.Status, s *series) {
		var total, micros uint64
		h := of(s)
		from := len(e.buf)
		e.begin(bucket, st)
		to := len(e.buf)
		for i, end := range scale.ends {
			if i > 0 {
				e.buf = append(e.buf, e.buf[from:to]...)
			}
			if h != nil {
				total += h.counts[i].Load()
			}
			e.count(end, total)
		}
		if h != nil {
			micros = h.micros.Load()
		}
		e.begin(sum, st)
		e.float("} ", float64(micros)/1e6)
		e.begin(count, st)
		e.count("} ", total)
	}}
}

// lasted adds up how long whole calls were.
func lasted() family {
	const name = "call_seconds_total"
	const help = "How long calls lasted from beginning to end, added up: uploads, downloads and streams included, which response_duration_seconds leaves out. " +
		"Its rate is how many calls are under way on average. In the data path Adaptive successes of a busy upstream are sampled, and weighted by how many each stands for."
	return family{head(name, "counter", help), func(e *encoder, st *breaker.Status, s *series) {
		e.begin(prefix+name+"{", st)
		e.float("} ", float64(s.micros.Load())/1e6)
	}}
}

// rejected has a series for each fallback that a breaker has, or had.
func rejected() family {
	const name = "rejected_total"
	const help = "Calls that were not admitted, by what the caller got in place of the upstream's answer: a response of our own, the answer of another upstream, or a cached one. " +
		"Exact in the data path Inline. In Adaptive proxies reject by themselves, and log what they rejected: " +
		"each of them all of it up to some 50 calls a second, and of more a sample of about as many, from which the total is estimated; the increase over one minute is then right to about 5 %. " +
		"Where copies of responses are kept, the proxies' logs tell in both."
	starts := [kinds]string{}
	for f, label := range fallbackNames {
		starts[f] = prefix + name + `{fallback="` + label + `",`
	}
	return family{head(name, "counter", help), func(e *encoder, st *breaker.Status, s *series) {
		calls, ever := [kinds]uint64{Response: st.Counts.Rejected}, [kinds]bool{}
		if c := s.credits(); c != nil {
			calls, ever = c.take(st.Counts.Rejected)
		}
		for f := range kinds {
			if f == Response || ever[f] {
				e.begin(starts[f], st)
				e.count("} ", calls[f])
			}
		}
	}}
}

// change is how the lines of one edge begin and end.
type change struct {
	start, end string
	always     bool // also where it never happened
}

// transitions has a series from the start for each change that a rule or a changed policy makes. The changes by hand, by
// forced policies and by restarts would be two thirds of all series, and hardly ever be above 0.
func transitions() family {
	const name = "transitions_total"
	const help = "Changes of state, by their reason. Those by a rule of the breaker or by a changed policy are there from 0 on, others once they have happened."
	changes := make([]change, len(edges))
	for i, e := range edges {
		changes[i] = change{
			start:  prefix + name + `{from="` + e.From.String() + `",reason="` + e.Reason.String() + `",`,
			end:    `,to="` + e.To.String() + `"} `,
			always: e.Reason.ByRule() || e.Reason == breaker.PolicyChanged,
		}
	}
	return family{head(name, "counter", help), func(e *encoder, st *breaker.Status, s *series) {
		p := s.past.Load()
		for i := range changes {
			var n uint64
			if p != nil {
				n = p.transitions[i].Load()
			}
			if c := &changes[i]; n > 0 || c.always {
				e.begin(c.start, st)
				e.count(c.end, n)
			}
		}
	}}
}

// changed is when the state began.
func changed() family {
	const name = "state_changed_timestamp_seconds"
	const help = "When the present state began, in seconds since 1970."
	return family{head(name, "gauge", help), func(e *encoder, st *breaker.Status, s *series) {
		e.begin(prefix+name+"{", st)
		e.float("} ", float64(e.wall(st.Since).UnixMilli())/1e3)
	}}
}

// mode has one series for each breaker, as an info metric has.
func mode() family {
	const name = "mode"
	const help = "What decides about the calls of the breaker, as the value of the label mode: the policy's mode (Enforce, MetricsOnly, ForcedOpen, Disabled), " +
		"or what a person has put in its place (ForcedOpenByHand, ForcedClosedByHand). There is one series for each breaker, and it is 1."
	return family{head(name, "gauge", help), func(e *encoder, st *breaker.Status, s *series) {
		e.labelled(prefix+name+`{mode="`, st.EffectiveMode(), st)
		e.count("} ", 1)
	}}
}

// episode is when a breaker left closed.
func episode() family {
	const name = "episode_start_timestamp_seconds"
	const help = "When the breaker was last closed, in seconds since 1970, with the reason of the change that ended that: probes that fail and restarts do not replace it. Absent while it is closed."
	return family{head(name, "gauge", help), func(e *encoder, st *breaker.Status, s *series) {
		if st.State != breaker.Closed && st.Episode != nil && st.Episode.Cause != nil {
			cause := st.Episode.Cause
			e.labelled(prefix+name+`{reason="`, cause.Edge.Reason.String(), st)
			e.float("} ", float64(e.wall(cause.At).UnixMilli())/1e3)
		}
	}}
}

// forced is 1 where neither rules nor timers decide.
func forced(st *breaker.Status) uint64 {
	if st.Forced() {
		return 1
	}
	return 0
}

// families are all metrics of breakers, in order of their names.
var families = []family{
	lasted(),
	gauge("calls_in_flight", "Calls that hold a permit and have no outcome yet, probes among them. In the data path Adaptive only probes ask for permits.", func(st *breaker.Status) uint64 { return st.InFlight }),
	episode(),
	ratio("failure_ratio", "Share of the calls in the window that failed", func(w breaker.WindowCounts) uint64 { return w.Failures }),
	counter("failures_total", "Calls that failed, timeouts included.", func(st *breaker.Status) uint64 { return st.Counts.Failures }),
	gauge("forced", "Whether a person, or the policy's mode ForcedOpen, holds the breaker in its state: 1 yes, 0 no, its rules decide.", forced),
	gauge("half_open_probes_in_flight", "Probes that were admitted in half-open and are not resolved.", func(st *breaker.Status) uint64 { return uint64(st.ProbesInFlight) }),
	counter("ignored_total", "Calls that neither succeeded nor failed, such as those that the client gave up; of these, the slow ones count in slow_calls_total too. In the data path Adaptive estimated from a sample on a busy upstream.", func(st *breaker.Status) uint64 { return st.Counts.Ignored + uint64(st.IgnoredLag) }),
	counter("leases_expired_total", "Probes that were not resolved by their deadline, and whose slot was taken back.", func(st *breaker.Status) uint64 { return st.Counts.LeasesExpired }),
	mode(),
	durations("open_duration_seconds", "How long the breaker was open at a stretch, observed when it left that state or another reason came to hold it there.", openScale, func(s *series) *histogram {
		if p := s.past.Load(); p != nil {
			return &p.opened
		}
		return nil
	}),
	rejected(),
	counter("requests_total", "Calls that asked the breaker or were reported to it, the rejected ones included. In the data path Adaptive an estimate on a busy upstream, as its parts are.", func(st *breaker.Status) uint64 { return st.Counts.Requests }),
	durations("response_duration_seconds", "How long the service took to answer: from the end of the request to the headers of the response, or to the end of a call that failed without any. What callers take for their uploads and downloads is not in it. In the data path Adaptive successes of a busy upstream are sampled, and weighted by how many each stands for.", callScale, func(s *series) *histogram { return &s.calls }),
	ratio("slow_call_ratio", "Share of the calls in the window that were slow", func(w breaker.WindowCounts) uint64 { return w.Slow }),
	counter("slow_calls_total", "Calls whose service took at least the policy's slowCallDurationThreshold, also where the client gave up before the answer.", func(st *breaker.Status) uint64 { return st.Counts.Slow }),
	gauge("state", "State of the breaker: 0 closed, 1 half-open, 2 open. Where each proxy has a breaker of its own, the worst of theirs.", func(st *breaker.Status) uint64 { return uint64(st.State) }),
	changed(),
	counter("successes_total", "Calls that succeeded. In the data path Adaptive estimated from a sample on a busy upstream.", func(st *breaker.Status) uint64 { return st.Counts.Successes + uint64(st.SuccessLag) }),
	counter("timeouts_total", "Calls that failed because their deadline passed.", func(st *breaker.Status) uint64 { return st.Counts.Timeouts }),
	transitions(),
	counter("would_reject_total", "Calls that were admitted only because the policy's mode is MetricsOnly.", func(st *breaker.Status) uint64 { return st.Counts.WouldReject }),
}
