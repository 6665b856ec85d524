// Package telemetry shows people and Prometheus what Breakwater sees: metrics,
// health, breakers, configuration and logs. It also takes changes by hand.
//
// In: snapshots of breakers, of the xDS server and of the ext_proc server, through the functions in [Options];
// the policies that were loaded or refused, transitions, and the duration of each call, through the methods of [Telemetry].
// Out: an [http.Handler] with the endpoints that its index page lists, and one log line for each transition and each change by hand.
// Called by: the app, which wires it; ext_proc, through the app, once for each call.
// Never: changes a breaker but through [Admin], makes a label of anything that is not in the policy, or knows of xds, extproc or Envoy's API.
// Concurrency: everything is safe for concurrent use; the functions in [Options] have to be, too.
package telemetry
