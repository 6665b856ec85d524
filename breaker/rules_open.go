package breaker

import "time"

// open is the memory of an open breaker: when it ends. Nothing that happens while it is open
// makes it longer.
type open struct {
	until    Instant // never: time does not end it
	openings uint32  // in a row and not forgotten, this one included
}

// maxOpenings bounds how many openings are remembered. With a multiplier of 1.1 the
// 64th wait is 400 times the first.
const maxOpenings = 64

// begin counts an opening and returns how long it lasts. An opening after a half-open in
// which the service was not asked lasts as long as the one before, and does not count.
func (o *open) begin(key Key, cfg *Config, sequence uint64, asked bool) time.Duration {
	if !asked {
		o.openings -= min(o.openings, 1)
	}
	wait := jitter(waitOf(cfg, o.openings), cfg.BackoffJitter, key, sequence)
	o.openings = min(o.openings+1, maxOpenings)
	return wait
}

// remembered returns how many openings are not forgotten when the breaker has been closed
// for a time. It forgets an opening after as long as the wait that the opening
// caused, so longer waits are remembered for longer.
func (o *open) remembered(cfg *Config, closed time.Duration) uint32 {
	n := o.openings
	for n > 0 {
		wait := waitOf(cfg, n-1)
		if closed < wait {
			break
		}
		closed -= wait
		n--
	}
	return n
}

// waitOf returns the wait, without jitter, where there were earlier openings.
func waitOf(cfg *Config, openings uint32) time.Duration {
	wait := cfg.WaitDurationInOpenState
	most := max(cfg.BackoffMax, wait)
	if cfg.BackoffMultiplier <= MinMultiplier {
		return wait
	}
	for range openings {
		if wait >= most {
			break
		}
		wait = wait / 100 * time.Duration(cfg.BackoffMultiplier)
	}
	return min(wait, most)
}

// jitter spreads a wait by up to share to either side. The draw depends only on the
// key and the transition, so replicas that share a breaker agree, and breakers that tripped
// together do not probe together.
func jitter(wait time.Duration, share Ratio, key Key, sequence uint64) time.Duration {
	if share == 0 {
		return wait
	}
	spread := int64(wait/time.Duration(Whole)) * int64(share)
	if spread <= 0 {
		return wait
	}
	drawn := int64(draw(key, sequence) % uint64(2*spread+1))
	return max(wait+time.Duration(drawn-spread), time.Millisecond)
}

// draw returns a number that looks random: FNV-1a of the key, mixed with the sequence as
// in SplitMix64.
func draw(key Key, sequence uint64) uint64 {
	h := uint64(14695981039346656037)
	for _, part := range [...]string{key.Upstream, key.Route, key.Node} {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	h += sequence * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
