package table

// Row says what one package, or a tree of packages, may import, and why.
type Row struct {
	// Pkg is a directory; "dir/..." is all directories below it, but not dir.
	Pkg string
	// Layer orders packages. A package imports only packages of lower layers, so siblings never import one another, and there
	// are no cycles.
	Layer int
	// Ours has the packages of this module that it may import; "dir/..." as in Pkg.
	Ours []string
	// Third has the modules of third parties that it may import.
	Third []string
	// TestOurs has more packages of this module, which only its tests may import.
	TestOurs []string
	// TestThird has more modules of third parties, which only its tests may import.
	TestThird []string
	// Pure packages read no clock and start no goroutine: time is an argument.
	Pure bool
	// Silent packages also do no input or output, and draw no random numbers.
	Silent bool
	Reason string
}
