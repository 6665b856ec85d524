package resource

import (
	"sync"

	"breakwater.dev/internal/lockorder"
)

// most is how many results a list remembers. A list meets a few others at a time: the one that was there before it, and
// the parts of it that proxies have which are just starting.
const most = 64

// memo has results that follow from a list and a key.
type memo struct {
	mu  lockorder.Mutex[lockorder.SharedResources]
	all map[any]*result // guarded by mu
}

type result struct {
	once  sync.Once
	value any
}

// Remember returns the result of f for a list, which is not nil, and a key. Callers with the same key get the same result:
// f runs once, unless the list has too many results already. The type of the key tells results of one kind from others.
func Remember[T any](l *List, key any, f func() T) T {
	l.memo.mu.Lock()
	r := l.memo.all[key]
	if r == nil {
		if len(l.memo.all) >= most {
			l.memo.mu.Unlock()
			return f()
		}
		if l.memo.all == nil {
			l.memo.all = map[any]*result{}
		}
		r = &result{}
		l.memo.all[key] = r
	}
	l.memo.mu.Unlock()
	r.once.Do(func() { r.value = f() })
	return r.value.(T)
}
