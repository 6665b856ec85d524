// Package api has the JSON of a control plane's HTTP answers as Go types, and a client that reads them.
//
// The same types are written by the control plane, by package internal/httpapi, and read by [Client], so that
// the two cannot drift apart. Other programs can use them to show or to mirror the state of a mesh.
//
// All times are in UTC and cut to the millisecond, see [Timestamp]. All durations are text such as "1m30s", see
// [Duration]. New versions add fields, and new words to fields that hold a word; they do not change the fields that are there.
// A reader should ignore fields, and show words, that it does not know.
//
// In: values of these types, made by the control plane; for the client, the address of a control plane.
// Out: JSON; for the client, values of these types, or errors whose types say what went wrong.
// Called by: internal/httpapi, internal/logs, metrics, the servers that describe their status, and the app, for the types;
// internal/cli and cmd/controlplane, for the client; programs of our users, for both.
// Never: knows how a breaker or a server works, or imports another package of this module.
// Concurrency: values are plain data; a [Client] is safe for concurrent use; a [Stream] has one user.
package api
