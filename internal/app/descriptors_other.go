//go:build !unix

package app

// limits has the largest number of connections of each port; 0: no limit.
type limits struct{ xds, http int }

// maxHTTP is the largest number of connections of the HTTP port, which serves operators, Prometheus and readiness probes.
const maxHTTP = 512

// connectionLimits limits only the HTTP port, because processes have no limit of open files here.
func connectionLimits() limits { return limits{http: maxHTTP} }
