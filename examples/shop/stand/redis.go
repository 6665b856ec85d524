package stand

import (
	"context"
	"errors"
	"net"
	"os/exec"

	"github.com/redis/go-redis/v9"

	"breakwater.dev/internal/processes"
)

// Redis is a Redis or Valkey server that belongs to one stand. It has no persistence.
type Redis struct {
	dir, ip, path string
	process       *processes.Process
}

func newRedis(dir, ip string) (*Redis, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return &Redis{dir: dir, ip: ip, path: path}, nil
		}
	}
	return nil, errors.New("redis-server is not there; on Debian: apt-get install redis-server")
}

func (r *Redis) address() string { return net.JoinHostPort(r.ip, redisPort) }

// Start starts the server, and returns when it answers.
func (r *Redis) Start(ctx context.Context) (err error) {
	r.process, err = processes.Launch(r.dir, processes.Command{
		Name: "redis", Path: r.path,
		Args: []string{"--bind", r.ip, "--port", redisPort, "--save", "", "--appendonly", "no", "--protected-mode", "no", "--dir", r.dir},
	})
	if err != nil {
		return err
	}
	return r.process.Ready(ctx, func(ctx context.Context) error {
		return r.with(func(c *redis.Client) error { return c.Ping(ctx).Err() })
	})
}

// Stop stops the server, which breaks its connections and loses its content.
func (r *Redis) Stop() error {
	if r.process == nil {
		return nil
	}
	return r.process.Stop()
}

// Empty removes all content.
func (r *Redis) Empty(ctx context.Context) error {
	return r.with(func(c *redis.Client) error { return c.FlushAll(ctx).Err() })
}

func (r *Redis) with(use func(*redis.Client) error) error {
	client := redis.NewClient(&redis.Options{Addr: r.address()})
	return errors.Join(use(client), client.Close())
}
