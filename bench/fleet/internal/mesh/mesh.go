// Package mesh writes the policies of a fleet: many upstreams in a directory of files, and changes to them.
//
// In: how many upstreams there are.
// Out: files, each of which is replaced as a whole; the names of the upstreams, and marks of each change in the resources.
// Called by: the benchmark of fleets.
// Never: writes outside of its directory.
// Concurrency: a Mesh belongs to one goroutine.
package mesh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// perFile is about how many upstreams one file has.
const perFile = 100

// upstream has the fields in which upstreams differ.
type upstream struct {
	name    string
	port    int
	timeout time.Duration
}

// Mesh is a directory of policies: one for all breakers, and files of upstreams.
type Mesh struct {
	dir       string
	files     int // upstream i is in file i modulo files
	upstreams []upstream
}

// Name returns the name of upstream i.
func Name(i int) string { return fmt.Sprintf("u%05d", i) }

// New writes the policies of a number of upstreams to a directory.
func New(dir string, upstreams int) (*Mesh, error) {
	m := &Mesh{dir: dir, files: (upstreams + perFile - 1) / perFile}
	for i := range upstreams {
		m.upstreams = append(m.upstreams, upstream{name: Name(i), port: 8080, timeout: 10 * time.Second})
	}
	if err := m.replace("breakers.yaml", breakers); err != nil {
		return nil, err
	}
	for i := range m.files {
		if err := m.Rewrite(i); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// breakers is the policy for all breakers. They stay open until they are closed by hand.
const breakers = `apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: mesh}
spec:
  targetRefs: [{kind: Mesh}]
  dataPath: Adaptive
  breaker: {consecutiveFailures: 5, waitDurationInOpenState: 1h}
`

// Rewrite writes the file of upstream i again.
func (m *Mesh) Rewrite(i int) error {
	file := i % m.files
	var text strings.Builder
	for n := file; n < len(m.upstreams); n += m.files {
		u := &m.upstreams[n]
		fmt.Fprintf(&text, "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %s}\nspec:\n  endpoints: [{address: 10.%d.%d.%d, port: %d}]\n---\n",
			u.name, 1+n/62_500, n/250%250, 1+n%250, u.port)
		if n == file { // one policy in each file, whose timeout can change
			fmt.Fprintf(&text, "apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: %s}\nspec:\n  targetRefs: [{kind: Upstream, name: %s}]\n  timeout: %s\n---\n",
				u.name, u.name, u.timeout)
		}
	}
	return m.replace(fmt.Sprintf("upstreams-%03d.yaml", file), text.String())
}

// replace writes a file under another name, and renames it.
func (m *Mesh) replace(name, text string) error {
	hidden := filepath.Join(m.dir, ".new")
	if err := os.WriteFile(hidden, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join(m.dir, name))
}

// PortMark returns the bytes by which the endpoints of an upstream with this port are known: the port_value of an
// envoy.config.core.v3.SocketAddress.
func PortMark(port int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), uint64(port))
}

// SetPort gives the endpoint of upstream i another port.
func (m *Mesh) SetPort(i, port int) error {
	m.upstreams[i].port = port
	return m.Rewrite(i)
}

// TimeoutMark returns the bytes by which a route with this timeout is known: a google.protobuf.Duration.
func TimeoutMark(timeout time.Duration) []byte {
	mark := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(timeout/time.Second))
	return protowire.AppendVarint(protowire.AppendTag(mark, 2, protowire.VarintType), uint64(timeout%time.Second))
}

// SetTimeout gives upstream i another timeout. It has to be the first of a file, which has a policy of its own.
func (m *Mesh) SetTimeout(i int, timeout time.Duration) error {
	if i >= m.files {
		return fmt.Errorf("upstream %d has no policy of its own", i)
	}
	m.upstreams[i].timeout = timeout
	return m.Rewrite(i)
}

// Add adds an upstream, and returns its name.
func (m *Mesh) Add() (name string, err error) {
	i := len(m.upstreams)
	m.upstreams = append(m.upstreams, upstream{name: Name(i), port: 8080, timeout: 10 * time.Second})
	return Name(i), m.Rewrite(i)
}

// Remove removes the upstream that was added last, and returns its name.
func (m *Mesh) Remove() (name string, err error) {
	i := len(m.upstreams) - 1
	m.upstreams = m.upstreams[:i]
	return Name(i), m.Rewrite(i)
}
