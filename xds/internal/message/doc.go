// Package message packs and prints Envoy's messages.
//
// In: messages of Envoy's API.
// Out: the same messages validated and packed, or as text.
// Called by: xds, the packages below it and bootstrap, which make the messages.
// Never: packs a message that is not valid; gives equal messages different bytes.
// Concurrency: functions of their arguments only.
package message
