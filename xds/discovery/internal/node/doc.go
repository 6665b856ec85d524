// Package node reads how a proxy introduces itself.
//
// In: the node of a first request.
// Out: a [Node], or an error that the operator of the proxy can act on.
// Called by: discovery, for each stream. Package publication decides by the node which resources a proxy gets.
// Never: trusts a proxy: lengths, counts and characters are bounded. The guard decides which proxy may have which id.
// Concurrency: functions of their arguments only.
package node
