package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	extprocfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// The filters that routes turn on, by their names in Envoy.
const (
	extProcFilter     = "envoy.filters.http.ext_proc"
	setMetadataFilter = "envoy.filters.http.set_metadata"
)

// flushInterval is how long entries of the access log wait in the proxy.
const flushInterval = 50 * time.Millisecond

// playedProxy plays an Envoy. It knows breakers only from the routes and the runtime layer that it gets, and applies both as
// Envoy does.
type playedProxy struct {
	flow   *flow
	id     string
	routes *routev3.RouteConfiguration
	layer  atomic.Pointer[map[string]*structpb.Value] // by key
	begun  uint32                                     // the number of calls so far

	log     *playedLog
	waiting []*datav3.HTTPAccessLogEntry // for the next flush
	seen    map[string]bool              // the kinds of entries in written
	written strings.Builder              // the first entry of each kind
}

func newPlayedProxy(t *testing.T, f *flow) *playedProxy {
	t.Helper()
	rs, err := xds.Translate(f.set, xds.DefaultListen)
	if err != nil {
		t.Fatal(err)
	}
	p := &playedProxy{
		flow: f, id: "shop-0", routes: xds.WholeRoutes(rs[xds.VirtualHostType]).All()[0].Message().(*routev3.RouteConfiguration),
		log: newPlayedLog(t, f.feed), seen: map[string]bool{},
	}
	p.layer.Store(&map[string]*structpb.Value{})
	return p
}

// apply applies a runtime layer, and reports whether it differs from the one before.
func (p *playedProxy) apply(layer *xds.Resource) bool {
	fields := layer.Message().(*runtimev3.Runtime).GetLayer().GetFields()
	before := *p.layer.Swap(&fields)
	return !maps.EqualFunc(fields, before, func(x, y *structpb.Value) bool { return x.String() == y.String() })
}

// playedCall is one request on its way through the proxy.
type playedCall struct {
	proxy        *playedProxy
	host         string
	path, method string
	random       uint32                     // decides which runtime fractions match the call
	marks        map[string]*structpb.Value // dynamic metadata in our namespace
	route        string                     // the route that it took
	stream       *playedStream              // to ext_proc; nil: the proxy did not ask
	reply        *rejection                 // nil: the call went to the service
	logged       bool                       // the call is marked for the log, whatever its outcome is
	start        time.Time
}

// rejection is the response to a rejected call.
type rejection struct {
	status  uint32
	details string
	text    string // as the story prints it
}

// call begins a call of a breaker, and returns when the call is rejected or on its way to the service.
func (p *playedProxy) call(t *testing.T, key string) *playedCall {
	t.Helper()
	// Envoy draws these numbers. Here, steps of the golden section spread them evenly.
	random := uint32(uint64(p.begun) * 618_034 % wire.Million)
	p.begun++
	c := &playedCall{proxy: p, path: "/", method: http.MethodGet, random: random, marks: map[string]*structpb.Value{}, start: time.Now()}
	for u, r := range p.flow.set.Routes() {
		if (breaker.Key{Upstream: u.Name, Route: r.Name}).String() != key {
			continue
		}
		c.host = u.Hosts[0]
		if len(r.Match.Methods) > 0 {
			c.method = r.Match.Methods[0]
		}
		if r.Match.PathPrefix != "" {
			c.path = r.Match.PathPrefix
		}
	}
	c.send(t)
	return c
}

// send runs the filters of the call's route, and does so again if ext_proc clears the route.
func (c *playedCall) send(t *testing.T) {
	t.Helper()
	for {
		r := c.match(t)
		c.route = r.GetName()
		filters := r.GetTypedPerFilterConfig()
		if filters[setMetadataFilter] != nil {
			c.logged = true
		}
		again := false
		if filter := filters[extProcFilter]; filter != nil && c.stream == nil {
			var config extprocfilterv3.ExtProcPerRoute
			if err := filter.UnmarshalTo(&config); err != nil {
				t.Fatal(err)
			}
			again = c.ask(t, config.GetOverrides().GetGrpcInitialMetadata())
		}
		if again {
			continue
		}
		if d := r.GetDirectResponse(); d != nil && c.reply == nil {
			text := fmt.Sprintf("%d %s", d.GetStatus(), d.GetBody().GetInlineString())
			c.reply = &rejection{status: d.GetStatus(), details: "direct_response", text: text}
		}
		return
	}
}

// ask asks the control plane about the call, and reports whether the call must be routed again.
func (c *playedCall) ask(t *testing.T, initial []*corev3.HeaderValue) (again bool) {
	t.Helper()
	md := metadata.MD{}
	for _, h := range initial {
		md.Append(h.GetKey(), h.GetValue())
	}
	c.stream = newPlayedStream(t, c.proxy.flow.extproc, md)
	answer := c.stream.send(requestHeaders())
	if i := answer.GetImmediateResponse(); i != nil {
		text := fmt.Sprintf("%d %s%s", i.GetStatus().GetCode(), i.GetBody(), retryAfter(i))
		c.reply = &rejection{status: uint32(i.GetStatus().GetCode()), details: i.GetDetails(), text: text}
		return false
	}
	maps.Copy(c.marks, answer.GetDynamicMetadata().GetFields()[wire.Namespace].GetStructValue().GetFields())
	c.logged = c.logged || c.marks[wire.LoggedKey].GetBoolValue()
	return answer.GetRequestHeaders().GetResponse().GetClearRouteCache()
}

// match returns the first route that matches the call.
func (c *playedCall) match(t *testing.T) *routev3.Route {
	t.Helper()
	for _, host := range c.proxy.routes.GetVirtualHosts() {
		if !slices.Contains(host.GetDomains(), c.host) {
			continue
		}
		for _, r := range host.GetRoutes() {
			if c.fits(r.GetMatch()) {
				return r
			}
		}
	}
	t.Fatalf("no route matches %s %s of %s", c.method, c.path, c.host)
	return nil
}

// fits reports whether a route matches the call.
func (c *playedCall) fits(m *routev3.RouteMatch) bool {
	if prefix := m.GetPathSeparatedPrefix(); prefix != "" && c.path != prefix {
		return false
	}
	for _, h := range m.GetHeaders() {
		if h.GetStringMatch().GetExact() != c.method { // no other header is matched in these stories
			return false
		}
	}
	for _, d := range m.GetDynamicMetadata() {
		if !c.marks[d.GetPath()[0].GetKey()].GetBoolValue() {
			return false
		}
	}
	if share := m.GetRuntimeFraction(); share != nil {
		numerator := share.GetDefaultValue().GetNumerator()
		if key := (*c.proxy.layer.Load())[share.GetRuntimeKey()]; key != nil {
			numerator = uint32(key.GetStructValue().GetFields()["numerator"].GetNumberValue())
		}
		return c.random < numerator
	}
	return true
}

// end ends the call with a result. A rejected call ends with its rejection instead.
func (c *playedCall) end(t *testing.T, result string) {
	t.Helper()
	status, details, flags := result, "via_upstream", &datav3.ResponseFlags{}
	switch {
	case c.reply != nil:
		status, details = fmt.Sprint(c.reply.status), c.reply.details
	case result == "timeout":
		status, details, flags = "504", "response_timeout", &datav3.ResponseFlags{UpstreamRequestTimeout: true}
	case result == "gone":
		status, details, flags = "0", "downstream_remote_disconnect", &datav3.ResponseFlags{DownstreamConnectionTermination: true}
	}
	if c.stream != nil {
		if c.reply == nil && result != "gone" {
			bits := 0
			if flags.GetUpstreamRequestTimeout() {
				bits = 1 << 2
			}
			c.stream.send(responseHeaders(status, details, bits))
		}
		c.stream.end()
	}
	c.proxy.write(t, c, status, details, flags)
}

// write logs a call that has ended, if it passes the filter of the access log. The filter passes marked calls, failures of the
// service, and slow calls, but no rejected calls that are not marked.
func (p *playedProxy) write(t *testing.T, c *playedCall, status, details string, flags *datav3.ResponseFlags) {
	t.Helper()
	var code uint32
	if _, err := fmt.Sscan(status, &code); err != nil {
		t.Fatal(err)
	}
	took, rejected := time.Since(c.start), details == "direct_response" || details == wire.RejectedDetails
	if !c.logged && (code < 500 || rejected) && took < 2*time.Second {
		return
	}
	common := &datav3.AccessLogCommon{
		StartTime: timestamppb.New(c.start), Duration: durationpb.New(took), TimeToLastRxByte: durationpb.New(0),
		RouteName: c.route, ResponseFlags: flags, AccessLogType: datav3.AccessLogType_DownstreamEnd,
	}
	if len(c.marks) > 0 {
		common.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{wire.Namespace: {Fields: c.marks}}}
	}
	if c.reply == nil {
		common.UpstreamRequestAttemptCount = 1
	}
	if details == "via_upstream" {
		common.TimeToFirstUpstreamRxByte = durationpb.New(took)
		common.TimeToLastDownstreamTxByte = durationpb.New(took)
	}
	e := &datav3.HTTPAccessLogEntry{CommonProperties: common, Response: &datav3.HTTPResponseProperties{
		ResponseCode: wrapperspb.UInt32(code), ResponseCodeDetails: details,
	}}
	if p.waiting = append(p.waiting, e); len(p.waiting) == 1 {
		p.flow.add(p.flow.now().Add(flushInterval), func() { p.flush(t) })
	}
}

// flush sends the waiting entries.
func (p *playedProxy) flush(t *testing.T) {
	t.Helper()
	counts, order := map[string]int{}, []string(nil)
	for _, e := range p.waiting {
		kind := fmt.Sprintf("%s -> %d", e.GetCommonProperties().GetRouteName(), e.GetResponse().GetResponseCode().GetValue())
		if counts[kind]++; counts[kind] == 1 {
			order = append(order, kind)
		}
		if !p.seen[kind] {
			p.seen[kind] = true
			p.show(t, kind, e)
		}
	}
	if p.flow.adaptive {
		for _, kind := range order {
			p.flow.tell("the proxy logs %d x %s", counts[kind], kind)
		}
	}
	p.log.send(t, p.id, p.waiting)
	p.waiting = nil
}

// show appends an entry to written, as YAML.
func (p *playedProxy) show(t *testing.T, kind string, e *datav3.HTTPAccessLogEntry) {
	t.Helper()
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := blockYAML(data)
	if err != nil {
		t.Fatal(err)
	}
	if p.written.Len() > 0 {
		p.written.WriteString("---\n")
	}
	fmt.Fprintf(&p.written, "# %s\n%s", kind, text)
}
