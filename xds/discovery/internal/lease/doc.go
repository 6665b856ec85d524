// Package lease knows which gates one proxy applies and until when it keeps the layers with them, and says when each layer is renewed.
//
// In: the layers in each response, their gates, how long they live, the proxy's answers, and the time.
// Out: which layers have to be renewed and whether their content has to come with that, and the gates that the proxy applies from when on.
// Called by: discovery, for each stream.
// Never: makes or sends a response, or reads a clock.
// Concurrency: [Leases] are for one goroutine at a time.
package lease
