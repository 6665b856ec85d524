// Package lease knows until when one proxy keeps the layers of its runtime, and says when each is renewed.
//
// In: the layers in each response, how long they live, the proxy's answers, and the time.
// Out: when a layer has to be renewed, whether its content has to come with that, and until when the proxy keeps it.
// Called by: discovery, for each stream.
// Never: makes or sends a response, or reads a clock.
// Concurrency: [Leases] are for one goroutine at a time.
package lease
