// Package connect connects to Redis and Valkey.
//
// In: a URL, and files with a password and certificates.
// Out: a client, whose time limits are short, or an error that says what is wrong with the options.
// Called by: the shared store.
// Never: puts a password into an error or a log, or waits for a server when it makes a client.
// Concurrency: a client is safe for concurrent use.
package connect
