// Package outlier decides when one endpoint of an upstream is taken out of rotation. It owns
// the configuration, with the meaning that Envoy gives it, and applies the same rules to
// what all proxies together have seen.
//
// In: a [Config], field by field as policies write it; the outcomes of calls at endpoints; the time.
// Out: everything that is wrong with a configuration; endpoints that are ejected, and that return.
// Called by: policy, which compiles it; xds, which writes it out for Envoy; internal/app, which reports and ejects.
// Never: reads a clock, does I/O, draws at random, or imports anything but the standard library and instant.
// Concurrency: a Detector is safe for concurrent use; everything else is a value.
package outlier
