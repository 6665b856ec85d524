package fleet

import "sync/atomic"

// counters are one proxy's share of [Counts].
type counters struct {
	bytes, responses, heartbeats, heartbeatBytes, resources, removed, again, refused, lost, ended, failed atomic.Int64
}

func (c *counters) add(sum *Counts) {
	sum.Bytes += c.bytes.Load()
	sum.Responses += c.responses.Load()
	sum.Heartbeats += c.heartbeats.Load()
	sum.HeartbeatBytes += c.heartbeatBytes.Load()
	sum.Resources += c.resources.Load()
	sum.Removed += c.removed.Load()
	sum.Again += c.again.Load()
	sum.Refused += c.refused.Load()
	sum.Lost += c.lost.Load()
	sum.Ended += c.ended.Load()
	sum.Failed += c.failed.Load()
}
