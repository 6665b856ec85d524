// Package discovery serves resources to proxies over xDS, and knows which of them each proxy was sent, took or refused.
//
// In: publications of a policy, endpoints, ejections, gates, and the streams of proxies.
// Out: responses, in an order that makes before it breaks; status, totals, and the gates that each proxy applies.
// Called by: proxies, over gRPC; the app, which publishes and shows.
// Never: sends a resource again that the proxy has, except in heartbeats, or that it has refused, before the pause is over;
// holds a lock while it sends, or while it calls a function of [Options], except Now.
// Concurrency: safe for concurrent use; each stream is served by one goroutine, beside one that receives.
//
// # Parts
//
// Package internal/publication decides which resources each proxy gets, internal/plan in which order, and
// internal/protocol how they are sent in either variant of the protocol. Package internal/rollout hands out gates,
// internal/lease knows until when a proxy keeps them, internal/node reads how a proxy introduces itself, and internal/presence
// remembers which proxies are there. This package runs the streams: it connects these packages, sends the runtime layers,
// charges each peer for its memory, and logs.
//
// # Locks
//
// A goroutine that holds one of these locks takes only those that are further down (internal/lockorder checks that in
// every test):
//
//  1. The publisher's lock. It serialises the changes of the publication that proxies get. The publisher holds it while it
//     asks all streams whether their proxies are late, or lack something.
//  2. A stream's lock. It guards the stream's knowledge of its proxy. A goroutine holds the lock of one stream at a time.
//  3. All other locks: the ones of the set of streams, the places, the totals, the upstreams that were logged, the proxies
//     that are present (internal/presence), the rollouts (internal/rollout), a publication's content, and the views
//     (both in internal/publication). A goroutine that holds one of them takes no other lock of this package.
//  4. The locks of shared resources (xds/internal/resource).
//
// With lock 2 held, a goroutine may take the locks of internal/guard and internal/untrusted; with lock 1 or 2 held, the
// logger's locks. No lock is held while a response is sent, or while [Options.Propagated] or [Options.Applied] is called:
// both may call the server.
package discovery
