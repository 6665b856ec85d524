// Package outlier says when one endpoint of an upstream is taken out of
// rotation. It owns the configuration, with the meaning that Envoy gives it.
//
// In: a [Config], field by field as policies write it.
// Out: a complete configuration and everything that is wrong with it.
// Called by: policy, which compiles it; xds, which writes it out for Envoy.
// Never: reads a clock, does I/O, or imports anything but the standard library.
// Concurrency: values only.
package outlier
