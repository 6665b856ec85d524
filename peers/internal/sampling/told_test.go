package sampling

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestToldByOthers: a breaker is sampled elsewhere from when a replica says so until some time after it has last said so. While one
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
	took := func(news bool, replica string, keys ...breaker.Key) {
		t.Helper()
		if got := told.Took(replica, keys, now); got != news {
			t.Errorf("that %s says %v is news: %v, want %v", replica, keys, got, news)
		}
	}
	may(false, false)
	may(true, true, "b")
	took(true, "b")
	took(false, "b")
	may(false, false, "b")
	may(true, true, "b", "c")
	took(true, "c", web)
	took(false, "b", web)
	took(true, "c", web, shop)
	may(true, true, "b", "c")
	now = now.Add(fresh - 1)
	took(false, "b", web)
	took(false, "c", web)
	now = now.Add(fresh - 1)
	took(false, "b", web)
	now = now.Add(1)
	may(true, true, "b", "c") // c says nothing
	may(true, true, "b")      // c has left
	now = now.Add(kept - 2*fresh)
	took(true, "b")
	may(true, true, "b") // shop is no longer named, and may still be sampled
	now = now.Add(fresh - 1)
	took(false, "b")
	may(true, false, "b")
	now = now.Add(kept)
	took(true, "b")
	may(false, false, "b")
	may(true, true, "b", "c")
}
