// Package calls has the calls of this replica's proxies whose breakers another replica decides about.
//
// In: calls that are admitted, and how they end; answers to questions for permits.
// Out: a [breaker.Lease] for each call; reports for the breaker's owner; calls that have become slow.
// Called by: peers.
// Never: knows where a breaker is: its [Host] does.
// Concurrency: a [Lease] has one owner, who calls it one at a time. [Running] is safe for concurrent use, [Asks] is not.
package calls
