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

// timeToLive is how long a user stays in the cache.
const timeToLive = 300 * time.Second

// cache stores users in Redis or Valkey, through the proxy and a breaker in this process.
type cache struct {
	client   *redis.Client
	breakers *inprocess.Registry
}

func openCache(address string, breakers *inprocess.Registry) *cache {
	return &cache{breakers: breakers, client: redis.NewClient(&redis.Options{
		Addr:     address,
		PoolSize: databaseConnections, MinIdleConns: minConnections, MaxActiveConns: databaseConnections,
		// The client does not retry, so that the breaker decides whether there is another attempt.
		MaxRetries: -1, DialerRetries: 1, DialTimeout: connectTimeout, ContextTimeoutEnabled: true,
	})}
}

func (c *cache) close() error { return c.client.Close() }

func key(id int64) string { return fmt.Sprintf("user:%d", id) }

// get returns the cached copy of a user, if there is one. The error is only for logs and metrics: without a cache the shop
// asks the database.
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
		return c.client.Set(ctx, key(id), text, timeToLive).Err()
	})
}
