package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"breakwater.dev/breaker"
	"breakwater.dev/inprocess"
)

// keptFor is how long a user stays in the cache.
const keptFor = 300 * time.Second

// cache is Redis or Valkey through the proxy.
type cache struct {
	client   *redis.Client
	breakers *inprocess.Registry
}

func openCache(address string, breakers *inprocess.Registry) *cache {
	return &cache{breakers: breakers, client: redis.NewClient(&redis.Options{
		Addr:     address,
		PoolSize: databaseConnections, MinIdleConns: spareConnections, MaxActiveConns: databaseConnections,
		// Whether to try again is the breaker's to say.
		MaxRetries: -1, DialerRetries: 1, DialTimeout: connectTimeout, ContextTimeoutEnabled: true,
	})}
}

func (c *cache) close() error { return c.client.Close() }

func key(id int64) string { return fmt.Sprintf("user:%d", id) }

// get returns what is known of a user. A cache that fails has nothing, and says why.
func (c *cache) get(ctx context.Context, id int64) (v view, found bool, err error) {
	var text []byte
	err = breaker.Do(ctx, c.breakers.Breaker(redisName), func(ctx context.Context) (err error) {
		text, err = c.client.Get(ctx, key(id)).Bytes()
		if errors.Is(err, redis.Nil) {
			return breaker.Expected(err)
		}
		return err
	})
	if errors.Is(err, redis.Nil) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return view{}, false, fmt.Errorf("the cache's copy of user %d: %w", id, err)
	}
	return v, true, nil
}

func (c *cache) put(ctx context.Context, id int64, v view) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return breaker.Do(ctx, c.breakers.Breaker(redisName), func(ctx context.Context) error {
		return c.client.Set(ctx, key(id), text, keptFor).Err()
	})
}
