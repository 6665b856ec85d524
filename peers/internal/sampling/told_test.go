package sampling

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestToldByOthers: a breaker is sampled elsewhere while some replica says so, also for a time after that replica has gone. While one
// replica has not said anything lately, each breaker may be.
func TestToldByOthers(t *testing.T) {
	web, shop := breaker.Key{Upstream: "web"}, breaker.Key{Upstream: "shop"}
	var told Told
	now := breaker.Instant(time.Hour)
	may := func(wantWeb, wantShop bool, replicas ...string) {
		t.Helper()
		if f := told.May(replicas, now); f(web) != wantWeb || f(shop) != wantShop {
			t.Errorf("web may be sampled: %v, shop: %v; want %v and %v", f(web), f(shop), wantWeb, wantShop)
		}
	}
	may(false, false)
	may(true, true, "b")
	if !told.Took("b", nil, now) || told.Took("b", nil, now) {
		t.Error("only the first thing that a replica says is news")
	}
	may(false, false, "b")
	may(true, true, "b", "c")
	if !told.Took("c", []breaker.Key{web}, now) || told.Took("c", []breaker.Key{web}, now) || !told.Took("c", []breaker.Key{web, shop}, now) {
		t.Error("a breaker is news once")
	}
	may(true, true, "b", "c")
	if told.Took("c", []breaker.Key{web}, now) {
		t.Error("it is no news that a breaker is not sampled any longer")
	}
	may(true, false, "b", "c")
	now = now.Add(fresh - 1)
	may(true, false, "b", "c")
	told.Took("b", nil, now)
	now = now.Add(1)
	may(true, true, "b", "c")
	may(true, false, "b") // c has left
	now = now.Add(kept - fresh)
	told.Took("b", nil, now)
	may(false, false, "b")
	may(true, true, "b", "c")
}
