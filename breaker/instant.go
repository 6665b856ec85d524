package breaker

import "breakwater.dev/instant"

// Instant is a point on the monotonic clock that the caller keeps; see [instant.Instant].
type Instant = instant.Instant
