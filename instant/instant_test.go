package instant_test

import (
	"fmt"
	"time"

	"breakwater.dev/instant"
)

// A program keeps the start beside its clock, and shows instants as wall time.
func Example() {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	wall := func(i instant.Instant) time.Time { return start.Add(time.Duration(i)) }

	var opened instant.Instant // at the start
	closed := opened.Add(90 * time.Second)
	fmt.Println(closed.Sub(opened), opened.Sub(closed))
	fmt.Println(wall(closed).Format(time.TimeOnly))
	// Output:
	// 1m30s -1m30s
	// 12:01:30
}
