// Package telemetry shows people and Prometheus what Breakwater sees: metrics,
// health, breakers, configuration and logs. It also takes changes by hand.
//
// In: snapshots of breakers, gates and ejections, of the servers and of the feed, through the functions in [Options];
// the policies that were loaded or refused, transitions, and how long calls and gates took, through the methods of [Telemetry].
// Out: an [http.Handler] with the endpoints that its index page lists, and one log line for each transition, ejection and change by hand.
// Called by: the app, which wires it; ext_proc and the feed, through the app, for each call that they hear of.
// Never: changes a breaker but through [Admin], makes a label of anything that is not in the policy, or knows of xds, extproc, feed or Envoy's API.
// Concurrency: everything is safe for concurrent use; the functions in [Options] have to be, too.
package telemetry
