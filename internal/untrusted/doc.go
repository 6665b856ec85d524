// Package untrusted makes text from the network safe to log and to show: node ids, names, and the messages of proxies
// that refuse their configuration.
//
// In: any string, and the time of each log line about it.
// Out: text of bounded length without control characters, and whether the line may be written.
// Called by: every package that logs or shows text from the network.
// Never: allocates for a string that is short and printable already.
// Concurrency: safe for concurrent use.
package untrusted
