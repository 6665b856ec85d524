// Package outlier says when one endpoint of an upstream is taken out of rotation. It owns
// the configuration, with the meaning that Envoy gives it, and judges by the same rules what
// all proxies together have seen.
//
// In: a [Config], field by field as policies write it; what became of calls at endpoints; the time.
// Out: everything that is wrong with a configuration; endpoints that are ejected, and return.
// Called by: policy, which compiles it; xds, which writes it out for Envoy; internal/app, which reports and ejects.
// Never: reads a clock, does I/O, draws at random, or imports anything but the standard library.
// Concurrency: a Detector is safe for concurrent use; all else is values.
package outlier
