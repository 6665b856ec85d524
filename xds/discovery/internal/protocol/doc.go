// Package protocol speaks xDS with one proxy about one type of resource, in both variants of the protocol. It knows which
// resources the proxy wants, was sent, took and refused.
//
// In: the requests of a gRPC stream, the resources that the proxy gets, and the time.
// Out: responses, and the state of the subscription.
// Called by: package plan, which orders the types; discovery, which runs the streams.
// Never: sends a resource again that the proxy has, unless the caller asks for that; sends a refused resource again before
// its pause is over; has two responses on their way at a time.
// Concurrency: a [Subscription] is for one goroutine at a time. A [Stream] may receive in one goroutine and send in
// another one.
package protocol
