// Package untrusted shows what a peer sent: node ids, messages of refusals, names.
//
// In: strings of anybody's making, and the time of each line about them.
// Out: text of bounded length without control characters, and whether a line may be written.
// Called by: everybody who logs or shows something that came over the network.
// Never: allocates for a string that is short and printable already.
// Concurrency: safe for concurrent use.
package untrusted
