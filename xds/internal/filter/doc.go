// Package filter holds the HTTP filters of a proxy, each in one file with its two halves: its configuration in the
// listener, and the configuration by which a route turns it on. Routes and the listener must agree on both.
//
// In: routes, and the breakers that they belong to.
// Out: the chain of filters for the listener; routes with filters turned on.
// Called by: listener, which has the chain; route, which turns filters on.
// Never: decides which requests a filter sees.
// Concurrency: functions of their arguments only. The functions that turn a filter on change the given route.
package filter
