package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// victim is a control plane that tests attack. It runs as in the manifests, with plain text. It is built without the race
// detector, so that it takes as much memory as a release.
type victim struct {
	*process
	xds, http string // the address of the one port, and the URL of the other
	policy    string // the file
}

const memoryLimit = 256 << 20 // the memory limit of the manifests

// maxAttack is the longest time that an attack may take. Only a test that fails waits until then.
const maxAttack = 5 * time.Minute

// plainBinary builds the control plane without the race detector.
var plainBinary = buildOnce("plain", "breakwater.dev/cmd/controlplane")

// newVictim starts a control plane with a policy. ulimits is a piece of shell that sets limits of the process.
func newVictim(t *testing.T, policyText string, ulimits string) *victim {
	t.Helper()
	plain, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	ip := ownIP(t)
	f := &victim{xds: ip + ":18000", http: "http://" + ip + ":18080", policy: filepath.Join(t.TempDir(), "policy.yaml")}
	if err := os.WriteFile(f.policy, []byte(policyText), 0o600); err != nil {
		t.Fatal(err)
	}
	f.process = start(t, "control plane", "sh", "-c", ulimits+`exec env GOMEMLIMIT=230MiB "$@"`, "sh", plain, "serve",
		"--policy", f.policy, "--xds-listen", f.xds, "--http-listen", ip+":18080", "--state-dir=")
	eventually(t, "the control plane serves", func() error {
		f.running(t)
		_, err := fetch(f.http + "/health/ready")
		return err
	})
	return f
}

// from connects from a given loopback address, so that the control plane can tell attackers from honest proxies.
func (f *victim) from(t *testing.T, address string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+f.xds, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
			return d.DialContext(ctx, "tcp", to)
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a test may have closed it
	return c
}

const attacker, honest = "127.0.0.2", "127.0.0.3"

// status reads a figure from /proc/PID/status, in bytes.
func (f *victim) status(t *testing.T, figure string) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, figure+":"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("/proc/PID/status has no %s", figure)
	return 0
}

// survives checks that an honest proxy is served, that the memory was never above its limit, and that each of the refusals
// is counted and logged.
func (f *victim) survives(t *testing.T, refusals ...string) {
	t.Helper()
	f.running(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := f.from(t, honest)
	st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := subscribe(st, &corev3.Node{Id: "honest-0", Cluster: "honest"}, xds.ClusterType); err != nil {
		t.Fatal(err)
	}
	if m, err := st.Recv(); err != nil || len(m.GetResources()) == 0 {
		t.Errorf("an honest proxy got %d clusters, %v", len(m.GetResources()), err)
	}
	if err := call(ctx, c); err != nil {
		t.Errorf("an honest proxy cannot ask about a call: %v", err)
	}
	for _, r := range refusals {
		eventually(t, r+" is counted", f.refused(r))
		service, reason, _ := strings.Cut(r, "/")
		eventually(t, r+" is logged", func() error {
			if log := f.output(); !strings.Contains(log, "service="+service+" reason="+reason) {
				return errors.New(clipped(tail(log, 5)))
			}
			return nil
		})
	}
	rss, peak := f.status(t, "VmRSS"), f.status(t, "VmHWM")
	t.Logf("%d MiB of memory, and %d MiB at most; %d bytes of log", rss>>20, peak>>20, len(f.output()))
	if peak > memoryLimit {
		t.Errorf("the control plane took %d MiB, and may take %d MiB", peak>>20, memoryLimit>>20)
	}
}

type deltaClient = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

func subscribe(st deltaClient, n *corev3.Node, typeURL string, names ...string) error {
	return st.Send(&discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

// open opens n configuration streams, with a number of them on each connection.
func (f *victim) open(t *testing.T, n, each int, options ...grpc.DialOption) []deltaClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), maxAttack)
	t.Cleanup(cancel)
	var all []deltaClient
	var c *grpc.ClientConn
	for i := range n {
		if i%each == 0 {
			c = f.from(t, attacker, options...)
		}
		st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c).DeltaAggregatedResources(ctx)
		if err != nil {
			continue // the connection was refused
		}
		all = append(all, st)
	}
	return all
}

// call asks about one call, and ends the call.
func call(ctx context.Context, c *grpc.ClientConn) error {
	st, err := askFor(ctx, c)
	if err != nil {
		return err
	}
	if _, err = st.Recv(); err != nil {
		return err
	}
	return st.CloseSend()
}

// askFor opens an ext_proc stream for one call.
func askFor(ctx context.Context, c *grpc.ClientConn) (extprocv3.ExternalProcessor_ProcessClient, error) {
	st, err := extprocv3.NewExternalProcessorClient(c).Process(metadata.AppendToOutgoingContext(ctx, wire.BreakerMetadata, "u0"))
	if err != nil {
		return nil, err
	}
	err = st.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{EndOfStream: true},
	}})
	if errors.Is(err, io.EOF) { // Recv returns the reason
		err = nil
	}
	return st, err
}

// upstreams returns a policy of n upstreams in the data path Inline.
func upstreams(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(service(fmt.Sprint("u", i), "127.0.0.1:9"))
	}
	return b.String() + "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: mesh}\n" +
		"spec: {targetRefs: [{kind: Mesh}], dataPath: Inline, breaker: {slowCallDurationThreshold: 0s}}\n"
}

// TestBoundOnKindsOfProxies connects many proxies that listen at different addresses, so that each needs resources that no
// other proxy shares.
func TestBoundOnKindsOfProxies(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(300), "")
	for i, st := range f.open(t, 400, 8) {
		metadata, err := structpb.NewStruct(map[string]any{wire.MetadataListen: fmt.Sprint("127.0.0.1:", 10_000+i)})
		if err != nil {
			t.Fatal(err)
		}
		n := &corev3.Node{Id: fmt.Sprint("a-", i), Cluster: "a", Metadata: metadata}
		if subscribe(st, n, xds.ClusterType) != nil {
			continue
		}
		if _, err := st.Recv(); err != nil && status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
	f.survives(t)
}

// TestBoundOnLists subscribes to very many names.
func TestBoundOnLists(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(20), "")
	names := make([]string, 60_000)
	for i := range names {
		names[i] = fmt.Sprintf("%032d", i)
	}
	for i, st := range f.open(t, 40, 8) {
		if subscribe(st, &corev3.Node{Id: fmt.Sprint("a-", i), Cluster: "a"}, xds.EndpointType, names...) == nil {
			go func() { _, _ = st.Recv() }() // returns a response, or the refusal
		}
	}
	eventually(t, "lists are refused", f.refused("xds/memory"))
	f.survives(t, "xds/memory")
}

// refused returns a check that refusals are counted, for a service and a reason such as "xds/memory".
func (f *victim) refused(refusal string) func() error {
	service, reason, _ := strings.Cut(refusal, "/")
	series := fmt.Sprintf("breakwater_proxies_refused_total{reason=%q,service=%q} ", reason, service)
	return func() error {
		page, err := fetch(f.http + "/metrics")
		if err != nil {
			return err
		}
		if _, after, found := strings.Cut(page, series); !found || after[0] == '0' {
			_, held, _ := strings.Cut(page, "\nbreakwater_proxies_held_bytes ")
			held, _, _ = strings.Cut(held, "\n")
			return fmt.Errorf("%s0; peers use %s bytes", series, held)
		}
		return nil
	}
}

// TestBoundOnProxiesThatDoNotRead connects many proxies that never read the response.
func TestBoundOnProxiesThatDoNotRead(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(300), "")
	for i, st := range f.open(t, 2_000, 8, grpc.WithInitialWindowSize(65_535), grpc.WithInitialConnWindowSize(65_535)) {
		_ = subscribe(st, &corev3.Node{Id: fmt.Sprint("a-", i), Cluster: "a"}, xds.ClusterType) // the stream may be refused
	}
	eventually(t, "responses that no proxy reads are refused", f.refused("xds/memory"))
	f.survives(t, "xds/memory")
}

// TestBoundOnCalls asks about very many calls at once.
func TestBoundOnCalls(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(20), "")
	ctx, cancel := context.WithTimeout(t.Context(), maxAttack)
	t.Cleanup(cancel)
	var wg sync.WaitGroup
	for range 20 {
		c := f.from(t, attacker)
		wg.Go(func() {
			for range 1_000 {
				st, err := askFor(ctx, c)
				if err == nil {
					_, err = st.Recv()
				}
				if err != nil && status.Code(err) != codes.ResourceExhausted && status.Code(err) != codes.Unavailable {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	f.survives(t, "ext_proc/memory")
}

// TestTooManyStreamsOfConfiguration opens more configuration streams on a connection than are allowed.
func TestTooManyStreamsOfConfiguration(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(20), "")
	refused := 0
	for i, st := range f.open(t, 100, 100) {
		_ = subscribe(st, &corev3.Node{Id: fmt.Sprint("a-", i), Cluster: "a"}, xds.ClusterType) // Recv returns the error that ended the stream
		if _, err := st.Recv(); status.Code(err) == codes.ResourceExhausted {
			refused++
		}
	}
	if refused != 92 {
		t.Errorf("%d of 100 streams of one connection were refused, want 92", refused)
	}
	f.survives(t, "xds/streams")
}

// TestSilentConnections shows that silent connections to either port do not keep other clients out.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(20), "ulimit -n 256; ")
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}, Timeout: patience}
	for i := range 600 {
		to := f.xds
		if i%2 == 0 {
			to = strings.TrimPrefix(f.http, "http://")
		}
		c, err := dialer.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() }) // the control plane may have closed it
	}
	f.survives(t, "connection/idle", "http/idle")
	for _, page := range []string{"/health/live", "/health/ready"} {
		if _, err := fetch(f.http + page); err != nil {
			t.Error(err)
		}
	}
}

// rapidResets begins streams and resets them at once, without reading anything, until the connection is closed or the time
// end is reached.
func rapidResets(c net.Conn, end time.Time) {
	const path, kind = "/envoy.service.ext_proc.v3.ExternalProcessor/Process", "application/grpc"
	headers := []byte{0x83, 0x86, 0x01, 1, 'a', 0x04, byte(len(path))} // POST, http, and literals (RFC 7541)
	headers = append(append(append(headers, path...), 0x0f, 0x10, byte(len(kind))), kind...)
	frame := func(to []byte, length int, kind, flags byte, stream uint32) []byte {
		return append(to, 0, 0, byte(length), kind, flags, byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
	}
	out := frame([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0, 4, 0, 0)
	_ = c.SetDeadline(end) // fails if the connection is closed, and then the writes fail too
	for stream := uint32(1); stream < 1<<31; stream += 2 {
		out = append(frame(out, len(headers), 1, 4, stream), headers...)
		out = append(frame(out, 4, 3, 0, stream), 0, 0, 0, 8)
		if len(out) < 16<<10 {
			continue
		}
		if _, err := c.Write(out); err != nil {
			return
		}
		out = out[:0]
	}
}

// cpu returns the CPU time of the process. A tick in /proc/PID/stat is 10 ms.
func (f *victim) cpu(t *testing.T) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), ") ")
	sum := 0
	for _, field := range strings.Fields(after)[11:13] { // utime and stime
		ticks, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		sum += ticks
	}
	return time.Duration(sum) * 10 * time.Millisecond
}

// TestRapidResets shows that a peer whose streams end at once loses its connection, and cannot make the control plane busy.
func TestRapidResets(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(20), "")
	before, dialer := f.cpu(t), net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}, Timeout: patience}
	const lasting = 5 * time.Second
	connections := 0
	for end := time.Now().Add(lasting); time.Now().Before(end); connections++ { // opens another connection when one is closed
		c, err := dialer.Dial("tcp", f.xds)
		if err != nil {
			t.Fatal(err)
		}
		rapidResets(c, end)
		_ = c.Close() // the control plane has closed it
	}
	spent := f.cpu(t) - before
	t.Logf("%d connections took %s of CPU in %s", connections, spent, lasting)
	if spent > 2*time.Second {
		t.Errorf("the attack took %s of CPU in %s", spent, lasting)
	}
	eventually(t, "the connection is closed", f.refused("connection/resets"))
	f.survives(t, "connection/resets")
}

// TestOnePeerCannotFloodTheLog shows that a proxy can neither fill the log, nor put control characters into it, with any
// text that it sends.
func TestOnePeerCannotFloodTheLog(t *testing.T) {
	t.Parallel()
	f := newVictim(t, upstreams(20), "")
	long := strings.Repeat("x\n\x1b[31m", 20_000)
	for i, st := range f.open(t, 64, 8) {
		n := &corev3.Node{Id: fmt.Sprint("a-", i), Cluster: strings.Repeat("c", 250)}
		if err := subscribe(st, n, xds.ClusterType); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			m, err := st.Recv()
			if err != nil {
				break
			}
			err = st.Send(&discoveryv3.DeltaDiscoveryRequest{
				TypeUrl: xds.ClusterType, ResponseNonce: m.GetNonce(), ErrorDetail: &rpcstatus.Status{Code: 13, Message: long},
				ResourceNamesSubscribe: []string{"u0"}, // causes another response
			})
			if err != nil {
				break
			}
		}
		streams := f.open(t, 1, 1)
		if len(streams) == 0 {
			t.Fatal("the connection is refused")
		}
		if err := subscribe(streams[0], &corev3.Node{Id: long, Cluster: long}, long); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.Get(f.http + "/config")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || len(page) > 2<<20 {
		t.Errorf("/config has %d bytes, %v", len(page), err)
	}
	log := f.output()
	if len(log) > 256<<10 {
		t.Errorf("the log has %d bytes", len(log))
	}
	if bytes.ContainsRune([]byte(log), '\x1b') || bytes.ContainsRune(page, '\x1b') {
		t.Error("the log or the page has a control character")
	}
	if !strings.Contains(log, "lines_left_out") && !strings.Contains(log, "proxy refused configuration") {
		t.Error("the log does not say what happened")
	}
	f.survives(t)
}
