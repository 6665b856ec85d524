// Package baseline has the proxies and servers without breakers that the benchmark compares breakers with.
//
// In: a policy as text, and addresses.
// Out: the bootstrap of an Envoy with the same listener, routes and clusters; an ext_proc server that only answers.
// Called by: the benchmark of Envoys.
// Never: measures anything, or starts a process.
// Concurrency: functions of their arguments only, apart from the server, which serves many streams at once.
package baseline
