// Package sampling tells which runs of failures are certain where several replicas report the calls of one breaker.
//
// Proxies of a busy upstream log one in n successes, and each replica decides that for its own proxies. A run of failures is
// certain only if no proxy of any replica can have had a success in it. So a failure counts as one from a sample while the
// proxies of another replica sample.
//
// In: outcomes, as each replica reports them.
// Out: the same outcomes, with failures that count as ones from a sample.
// Called by: peers/internal/core.
// Never: changes anything else in an outcome.
// Concurrency: [Own] is safe for concurrent use, [Others] is not.
package sampling
