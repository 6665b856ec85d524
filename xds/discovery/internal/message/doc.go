// Package message reads the requests and writes the responses of xDS as bytes. Thousands of proxies get the same resources, and
// come back with thousands of names each, so a response shares the bytes of its resources with all others, and a request is read
// into one string.
//
// In: the bytes of a request; a response.
// Out: the request; the bytes of the response.
// Called by: package protocol, which says what is in a response; discovery, whose codec gives the bytes to gRPC.
// Never: copies or changes the bytes of a resource.
// Concurrency: functions of their arguments only.
package message
