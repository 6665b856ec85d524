// Package typical is a mesh with a breaker in each state, for tests of what shows it.
//
// In: nothing.
// Out: its policy, breakers, transitions, proxies, ejections and refused policies, all made up.
// Called by: tests of the metrics, the HTTP pages, the log, and of the app that puts them together.
// Never: changes from one call to the next: golden files hold what is made of it.
// Concurrency: functions are safe for concurrent use; each call returns values of its own.
package typical
