package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"breakwater.dev/bench/internal/process"
)

// control is a control plane with its directory. Its ports stay the same when it is started again.
type control struct {
	ctx     context.Context
	binary  string
	dir     string // has the policies, the state, and the logs
	limit   string // GOMEMLIMIT; empty: none
	xds     string
	http    string
	process *process.Process
	starts  int
	client  http.Client
}

// adminToken lets the bench reset breakers.
const adminToken = "token-for-benchmarks"

func newControl(ctx context.Context, binary, limit string) (*control, error) {
	dir, err := os.MkdirTemp("", "breakwater-fleet")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	c := &control{ctx: ctx, binary: binary, dir: dir, limit: limit, client: http.Client{Timeout: time.Minute}}
	for _, address := range []*string{&c.xds, &c.http} {
		if *address, err = freeAddress(); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, os.Mkdir(c.policies(), 0o700)
}

func (c *control) policies() string { return filepath.Join(c.dir, "policies") }

// freeAddress returns a port that no program uses, at a loopback address of its own, so that no other program takes it meanwhile.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(100), rand.IntN(256), 1+rand.IntN(254)))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the control plane, and returns when it is ready.
func (c *control) start() error {
	c.starts++
	// All proxies come from one machine, and one account would be too small for them.
	cmd := exec.Command(c.binary, "serve", "--policy", c.policies(), "--state-dir", filepath.Join(c.dir, "state"),
		"--xds-listen", c.xds, "--http-listen", c.http, "--proxy-memory", "16384", "--log-level", "warn")
	cmd.Env = append(withoutVariables(os.Environ(), "GOMEMLIMIT", "GOGC", "BREAKWATER_"), "BREAKWATER_ADMIN_TOKEN="+adminToken)
	if c.limit != "" {
		cmd.Env = append(cmd.Env, "GOMEMLIMIT="+c.limit)
	}
	var err error
	if c.process, err = process.StartCommand(c.log(), cmd); err != nil {
		return err
	}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		if _, err = c.get("/health/ready"); err == nil {
			return nil
		}
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-c.process.Exited():
			text, _ := os.ReadFile(c.log())
			return fmt.Errorf("%s has ended: %s", c.binary, text)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready within 5 minutes: %w", c.binary, err)
		}
	}
}

func (c *control) log() string { return filepath.Join(c.dir, fmt.Sprintf("%d.log", c.starts)) }

// withoutVariables returns an environment without the variables whose names begin with one of the prefixes.
func withoutVariables(environment []string, prefixes ...string) (rest []string) {
next:
	for _, variable := range environment {
		for _, p := range prefixes {
			if strings.HasPrefix(variable, p) {
				continue next
			}
		}
		rest = append(rest, variable)
	}
	return rest
}

// get returns a page.
func (c *control) get(path string) (string, error) {
	response, err := c.client.Get("http://" + c.http + path)
	if err != nil {
		return "", err
	}
	return body(response)
}

func body(response *http.Response) (string, error) {
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", response.Request.URL, response.Status, text)
	}
	return string(text), err
}

// reset closes a breaker by hand.
func (c *control) reset(breaker string) error {
	change, err := json.Marshal(map[string]string{"action": "reset", "by": "bench", "reason": "the next step"})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(c.ctx, http.MethodPost, "http://"+c.http+"/breakers/"+breaker, bytes.NewReader(change))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+adminToken)
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	_, err = body(response)
	return err
}

// bootstrap returns the bootstrap that the binary prints for its proxies.
func (c *control) bootstrap() ([]byte, error) {
	out, err := exec.CommandContext(c.ctx, c.binary, "bootstrap", "--node-id", "proxy", "--node-cluster", "fleet",
		"--xds", c.xds, "--upstreams", "one,two").Output()
	if err != nil {
		return nil, fmt.Errorf("breakwater bootstrap: %w", err)
	}
	return out, nil
}

// close ends the control plane, and removes its directory.
func (c *control) close() error {
	if c.process != nil {
		c.process.Kill()
	}
	return os.RemoveAll(c.dir)
}
