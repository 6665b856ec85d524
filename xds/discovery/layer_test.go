package discovery

import "breakwater.dev/xds"

func gatesOf(t fatal, all ...xds.Gate) *xds.Gates {
	t.Helper()
	g, err := xds.NewGates(all)
	if err != nil {
		t.Fatalf("making gates: %v", err)
	}
	return g
}
