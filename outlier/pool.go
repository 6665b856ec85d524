package outlier

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"
)

// pool judges the endpoints of one upstream.
type pool struct {
	name      string
	config    Config
	endpoints map[netip.AddrPort]*endpoint
	next      Instant // the end of the interval
	out       int     // how many endpoints are ejected
	ejections [ruleCount]uint64
	detected  uint64
	events    []Event
}

// configure applies the policy and the endpoints of u. Endpoints that are there already keep
// their counts, unless the policy differs.
func (p *pool) configure(u Upstream, now Instant) {
	anew := p.config != u.Config
	p.config = u.Config
	p.next = min(p.next, now.Add(u.Config.Interval))
	kept := make(map[netip.AddrPort]*endpoint, len(u.Endpoints))
	for _, address := range u.Endpoints {
		e := p.endpoints[address]
		if e == nil {
			e = &endpoint{address: address, since: now}
		}
		if anew {
			e.forget(now)
		}
		kept[address] = e
	}
	p.endpoints, p.out = kept, 0
	for _, e := range kept {
		if e.out {
			p.out++
		}
	}
}

// ejected returns the endpoints that are out of rotation, sorted.
func (p *pool) ejected() []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range p.endpoints {
		if e.out {
			out = append(out, e.address)
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out
}

// report takes one outcome. It leaves out calls at an endpoint that is ejected, and calls
// that ended before the endpoint came back: they say nothing about the endpoint now.
func (p *pool) report(o *Outcome, now Instant) {
	e := p.endpoints[o.Endpoint]
	if e == nil || e.out || min(o.At, now) < e.since {
		return
	}
	calls := max(o.Calls, 1)
	split := p.config.SplitExternalLocalOriginErrors
	if o.Class == LocalOrigin && split {
		e.local.failed()
		p.run(e, ConsecutiveLocalOriginFailures, o.OneIn, now)
		return
	}
	// A response also shows that the endpoint could be reached.
	if split {
		e.local.succeeded(calls)
		e.runs[ConsecutiveLocalOriginFailures] = run{}
	}
	if o.Class == Success {
		e.external.succeeded(calls)
		e.runs[Consecutive5xxErrors], e.runs[ConsecutiveGatewayErrors] = run{}, run{}
		return
	}
	e.external.failed()
	if o.Class == ServerError {
		e.runs[ConsecutiveGatewayErrors] = run{}
	} else { // an endpoint that gave no response counts like one that gave 503 or 504
		p.run(e, ConsecutiveGatewayErrors, o.OneIn, now)
	}
	p.run(e, Consecutive5xxErrors, o.OneIn, now)
}

// run adds an error to a run of errors. A run that is long enough finds the endpoint, and
// ends.
func (p *pool) run(e *endpoint, r Rule, oneIn uint32, now Instant) {
	if e.out {
		return // another rule has ejected it just now
	}
	x := &e.runs[r]
	x.length++
	x.oneIn = max(x.oneIn, oneIn)
	threshold := p.config.threshold(r)
	if threshold == 0 || x.length < threshold || !x.unbroken(&e.external, &e.earlier) {
		return
	}
	length := x.length
	*x = run{}
	p.found(e, Event{Rule: r, At: now, Run: length})
}

// found ejects an endpoint that a rule has found. It only counts the endpoint where the rule
// is not enforced, by its chance, and where too many endpoints are out already.
func (p *pool) found(e *endpoint, v Event) {
	v.Upstream, v.Endpoint = p.name, e.address
	e.found++
	allowed := p.out < p.config.MaxEjected(len(p.endpoints))
	if draw(p.name, e.address, e.found)%100 >= uint64(p.config.enforcing(v.Rule)) || !allowed {
		v.Kind = Detected
		p.detected++
		p.events = append(p.events, v)
		return
	}
	e.times++
	e.out, e.at = true, v.At
	e.length = min(p.config.BaseEjectionTime*time.Duration(e.times), p.config.MaxEjectionTime)
	if jitter := p.config.MaxEjectionTimeJitter; jitter > 0 {
		e.length += time.Duration(draw(e.address.String(), e.address, e.found) % uint64(jitter+1))
	}
	p.out++
	p.ejections[v.Rule]++
	v.Kind, v.For, v.Times = Ejected, e.length, e.times
	p.events = append(p.events, v)
}

// sweep ends an interval: endpoints come back whose time is over, and the rules that compare
// endpoints judge the interval.
func (p *pool) sweep(now Instant) {
	p.next = now.Add(p.config.Interval)
	all := slices.SortedFunc(maps.Values(p.endpoints), func(x, y *endpoint) int { return x.address.Compare(y.address) })
	for _, e := range all {
		switch {
		case e.out && now >= e.at.Add(e.length):
			e.out = false
			p.out--
			e.forget(now)
			p.events = append(p.events, Event{Upstream: p.name, Endpoint: e.address, Kind: Returned, At: now, Times: e.times})
		case !e.out && e.times > 0:
			e.times--
		}
	}
	p.compare(all, SuccessRate, FailurePercentage, func(e *endpoint) *tally { return &e.external }, now)
	if p.config.SplitExternalLocalOriginErrors {
		p.compare(all, LocalOriginSuccessRate, LocalOriginFailurePercentage, func(e *endpoint) *tally { return &e.local }, now)
	}
	for _, e := range all {
		e.earlier = e.external
		e.external, e.local = tally{}, tally{}
	}
}

// compare finds the endpoints whose success rate was far below the others, and the endpoints
// whose share of failures reached the threshold. The calls that count are those in of(e).
func (p *pool) compare(all []*endpoint, rate, percentage Rule, of func(*endpoint) *tally, now Instant) {
	c := &p.config
	sample := func(volume uint32) (enough []*endpoint) {
		for _, e := range all {
			if t := of(e); !e.out && t.calls > 0 && t.calls >= uint64(volume) {
				enough = append(enough, e)
			}
		}
		return enough
	}
	if enough := sample(c.SuccessRateRequestVolume); len(enough) > 0 && len(enough) >= int(c.SuccessRateMinimumEndpoints) {
		below := bound(enough, of, float64(c.SuccessRateStdevFactor)/1000)
		for _, e := range enough {
			if t := *of(e); t.rate() < below {
				p.found(e, Event{Rule: rate, At: now, Calls: t.calls, Failures: t.failures})
			}
		}
	}
	if enough := sample(c.FailurePercentageRequestVolume); len(enough) > 0 && len(enough) >= int(c.FailurePercentageMinimumEndpoints) {
		for _, e := range enough {
			if t := *of(e); t.failures*100 >= uint64(c.FailurePercentageThreshold)*t.calls {
				p.found(e, Event{Rule: percentage, At: now, Calls: t.calls, Failures: t.failures})
			}
		}
	}
}

// bound returns the success rate that is factor standard deviations below the mean.
func bound(endpoints []*endpoint, of func(*endpoint) *tally, factor float64) float64 {
	n := float64(len(endpoints))
	mean, variance := 0., 0.
	for _, e := range endpoints {
		mean += of(e).rate() / n
	}
	for _, e := range endpoints {
		variance += (of(e).rate() - mean) * (of(e).rate() - mean) / n
	}
	return mean - factor*math.Sqrt(variance)
}
