package policy

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
	"breakwater.dev/wire"
)

// upstreamDoc is an Upstream, with the places that its problems are reported at.
type upstreamDoc struct {
	*Upstream
	from     *Object
	broken   bool // it has a problem of its own
	nameAt   place
	written  []string // Hosts in the order written
	hostsAt  []place  // the places of written
	routesAt []place
	places   places
	conflict findings // about routes in conflict with one another
}

// readUpstream reads the spec of an Upstream.
func (r *reading) readUpstream(o *Object) {
	u := &upstreamDoc{
		Upstream: &Upstream{
			Name: o.Name, Origin: o.at, Protocol: HTTP1,
			LoadBalancing: LoadBalancing{Policy: LeastRequest},
		},
		from:   o,
		nameAt: o.place(o.nameAt),
		places: places{"spec": o.place(o.spec)},
	}
	failed := map[string]bool{}
	spec := o.spec.With(yamlwalk.Visitor{
		Report: func(p yamlwalk.Problem) {
			failed[p.Path] = true
			r.report(o, p)
		},
		Visit: func(v yamlwalk.Value) { u.places[v.Path()] = o.place(v) },
	})
	if spec.Object(u.fields(o)) {
		u.finish(spec)
		r.refuseUnsupported(u.places, failed, upstreamNotYet(u.Upstream))
	}
	if len(u.hostsAt) == 0 && u.Protocol != TCP {
		u.Hosts, u.hostsAt = []string{u.Name}, []place{u.nameAt}
	}
	u.written = u.Hosts
	u.Hosts = slices.Sorted(slices.Values(u.Hosts))
	u.broken = r.reports > 0 || u.Name == ""
	u.checkRoutes()
	r.upstream = u
}

func (u *upstreamDoc) fields(o *Object) yamlwalk.Fields {
	return yamlwalk.Fields{
		"hosts": func(v yamlwalk.Value) {
			if v.Each(func(v yamlwalk.Value) { u.host(o, v) }) == 0 {
				v.FailAs("an empty list", "at least one host, or left out for the upstream's name", "missing-field")
			}
		},
		"protocol": yamlwalk.OneOf(&u.Protocol, HTTP1, HTTP2, GRPC, TCP),
		"endpoints": func(v yamlwalk.Value) {
			if v.Each(u.endpoint) == 0 {
				v.FailAs("an empty list", "at least one endpoint", "missing-field")
			}
		},
		"dns":         u.dns,
		"callers":     u.callers,
		"port":        port(&u.Port),
		"tls":         u.tls,
		"healthCheck": u.healthCheck,
		"loadBalancing": func(v yamlwalk.Value) {
			v.Object(yamlwalk.Fields{
				"policy":         yamlwalk.OneOf(&u.LoadBalancing.Policy, RoundRobin, LeastRequest, Random, RingHash, Maglev),
				"panicThreshold": yamlwalk.Percent(&u.LoadBalancing.PanicThreshold),
			})
		},
		"routes": func(v yamlwalk.Value) {
			v.Each(func(v yamlwalk.Value) { u.route(o, v) })
		},
	}
}

// finish checks rules about several fields, and sets the fields that depend on others.
func (u *upstreamDoc) finish(spec yamlwalk.Value) {
	switch hasEndpoints, hasDNS := spec.Has("endpoints"), spec.Has("dns"); {
	case hasEndpoints && hasDNS:
		u.places["spec.dns"].FailAs("given beside endpoints", "left out, or endpoints", "exclusive-fields")
	case !hasEndpoints && !hasDNS:
		spec.Missing("endpoints", "nothing").Fail("given, or dns", "missing-field")
	}
	if at := u.places["spec.tls"]; u.TLS != nil && !at.Has("sni") {
		if u.DNS == nil {
			at.Missing("sni", "nothing").Fail("the name in the certificate of the endpoints", "missing-field")
		} else {
			u.TLS.SNI = strings.TrimSuffix(u.DNS.Name, ".")
		}
	}
	if u.HealthCheck != nil {
		u.checkHealthCheck()
	}
	u.checkPort(spec)
	slices.SortFunc(u.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
	})
}

// checkPort reports a missing or unusable port, and fields that protocol TCP does not have. A TCP connection
// does not say where it goes: only the port of the proxy tells.
func (u *upstreamDoc) checkPort(spec yamlwalk.Value) {
	at, has := u.places["spec.port"]
	switch {
	case u.Protocol != TCP && has:
		at.Fail("left out: the proxy listens on a port of its own only for protocol TCP", "exclusive-fields")
	case u.Protocol == TCP && !has:
		spec.Missing("port", "nothing").Fail("the port on which the proxy listens for it", "missing-field")
	}
	if u.Protocol == TCP && (u.Port == wire.EgressPort || u.Port == wire.AdminPort) {
		at.Fail(fmt.Sprintf("another port: unless a proxy's bootstrap says otherwise it has its HTTP listener at %d and its admin interface at %d",
			wire.EgressPort, wire.AdminPort), "reserved-port")
	}
	for _, field := range []string{"hosts", "routes"} {
		if at, has := u.places["spec."+field]; has && u.Protocol == TCP {
			at.FailAs("given", "left out: a connection of protocol TCP has neither host nor path", "exclusive-fields")
		}
	}
}

func port(dst *uint16) yamlwalk.Field { return yamlwalk.Integer(dst, 1, math.MaxUint16) }

func (u *upstreamDoc) endpoint(v yamlwalk.Value) {
	e := Endpoint{Weight: 1}
	var address string
	isObject := v.Object(yamlwalk.Fields{
		"address": yamlwalk.Text(&address, "an IP address; for a name use dns in place of endpoints", "bad-address", func(s string) bool {
			ip, err := netip.ParseAddr(s)
			e.Address = ip.Unmap()
			return err == nil && ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast()
		}),
		"port":   port(&e.Port),
		"weight": yamlwalk.Integer(&e.Weight, 1, breaker.MaxCount),
		"zone":   name(&e.Zone),
	})
	if !isObject || !required(v, "address", "port") {
		return
	}
	same := func(other Endpoint) bool { return other.Address == e.Address && other.Port == e.Port }
	if address != "" && slices.ContainsFunc(u.Endpoints, same) {
		v.FailAs(netip.AddrPortFrom(e.Address, e.Port).String()+", again", "another endpoint; weight makes one count for more", "duplicate-endpoint")
		return
	}
	u.Endpoints = append(u.Endpoints, e)
}

func (u *upstreamDoc) dns(v yamlwalk.Value) {
	u.DNS = &DNS{}
	isObject := v.Object(yamlwalk.Fields{
		"name": yamlwalk.Text(&u.DNS.Name, "a host name such as payments.shop.svc; for addresses use endpoints", "bad-host", func(s string) bool {
			_, err := netip.ParseAddr(s)
			// A dot at the end is allowed: with it the resolver tries no search domains.
			return err != nil && isHostName(strings.TrimSuffix(s, "."))
		}),
		"port": port(&u.DNS.Port),
	})
	if isObject {
		required(v, "name", "port")
	}
}

func (u *upstreamDoc) tls(v yamlwalk.Value) {
	tls := &TLS{}
	isObject := v.Object(yamlwalk.Fields{
		"sni": yamlwalk.Text(&tls.SNI, "a host name or an IP address", "bad-host", func(s string) bool {
			_, isIPv6 := ipv6(s)
			return isIPv6 || isHostName(s)
		}),
		"caFile": yamlwalk.Text(&tls.CAFile, "an absolute path on the proxy's file system", "bad-path", func(s string) bool {
			return path.IsAbs(s) && path.Clean(s) == s && !strings.ContainsFunc(s, isControl)
		}),
	})
	if isObject {
		u.TLS = tls
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func (u *upstreamDoc) healthCheck(v yamlwalk.Value) {
	h := &HealthCheck{Interval: 5 * time.Second, Timeout: time.Second, UnhealthyThreshold: 3, HealthyThreshold: 2}
	isObject := v.Object(yamlwalk.Fields{
		"path":               yamlwalk.Text(&h.Path, "a path such as /healthz", "bad-path", isCheckPath),
		"interval":           yamlwalk.Duration(&h.Interval, time.Millisecond, breaker.MaxDuration),
		"timeout":            yamlwalk.Duration(&h.Timeout, time.Millisecond, breaker.MaxDuration),
		"unhealthyThreshold": yamlwalk.Integer(&h.UnhealthyThreshold, 1, breaker.MaxCount),
		"healthyThreshold":   yamlwalk.Integer(&h.HealthyThreshold, 1, breaker.MaxCount),
	})
	if isObject {
		u.HealthCheck = h
	}
}

// maxCheckTimeout is the longest timeout of a health check. A cluster waits for the first check of its
// endpoints before it is used, and so does a proxy that starts, before it listens (measured with Envoy 1.40).
const maxCheckTimeout = 10 * time.Second

func (u *upstreamDoc) checkHealthCheck() {
	at := u.places["spec.healthCheck"]
	if u.HealthCheck.Timeout > maxCheckTimeout {
		u.places["spec.healthCheck.timeout"].Fail(fmt.Sprintf("at most %s: a proxy that starts, or that gets a new policy for the upstream, "+
			"waits so long for endpoints that do not answer", yamlwalk.FormatDuration(maxCheckTimeout)), "out-of-range")
	}
	switch {
	case u.Protocol == GRPC && at.Has("path"):
		u.places["spec.healthCheck.path"].Fail("left out: protocol GRPC is checked by grpc.health.v1", "exclusive-fields")
	case u.Protocol == TCP && at.Has("path"):
		u.places["spec.healthCheck.path"].Fail("left out: protocol TCP is checked by connecting", "exclusive-fields")
	case u.Protocol != GRPC && u.Protocol != TCP && !at.Has("path"):
		at.Missing("path", "nothing").Fail("a path such as /healthz", "missing-field")
	}
}

func (u *upstreamDoc) route(o *Object, v yamlwalk.Value) {
	r := Route{}
	at := o.place(v)
	isObject := v.Object(yamlwalk.Fields{
		"name": func(v yamlwalk.Value) {
			at = o.place(v)
			name(&r.Name)(v)
		},
		"match": func(v yamlwalk.Value) { match(&r.Match, v) },
	})
	if !isObject || !required(v, "name", "match") {
		return
	}
	u.Routes = append(u.Routes, r)
	u.routesAt = append(u.routesAt, at)
}

var method = regexp.MustCompile(`^[A-Z][A-Z-]{0,31}$`)

func match(m *Match, v yamlwalk.Value) {
	isObject := v.Object(yamlwalk.Fields{
		"path":       yamlwalk.Text(&m.Path, "a path such as /charge, without a query", "bad-path", isPath),
		"pathPrefix": yamlwalk.Text(&m.PathPrefix, "a path such as /charge, without a query", "bad-path", isPath),
		"methods": func(v yamlwalk.Value) {
			count := v.Each(func(v yamlwalk.Value) {
				var verb string
				yamlwalk.Text(&verb, "a method such as GET or POST", "bad-method", method.MatchString)(v)
				if verb != "" && !slices.Contains(m.Methods, verb) {
					m.Methods = append(m.Methods, verb)
				}
			})
			if count == 0 {
				v.FailAs("an empty list", "at least one method, or left out for any", "missing-field")
			}
			slices.Sort(m.Methods)
		},
	})
	switch {
	case !isObject:
	case v.Has("path") && v.Has("pathPrefix"):
		v.Missing("pathPrefix", "given beside path").Fail("left out, or path", "exclusive-fields")
	case !v.Has("path") && !v.Has("pathPrefix") && !v.Has("methods"):
		v.FailAs("nothing", "path, pathPrefix or methods: a route that takes all is the upstream itself", "missing-field")
	}
}

func isPath(s string) bool { return isCheckPath(s) && !strings.ContainsRune(s, '?') }

// isCheckPath reports whether s is a path, possibly with a query: a health check may have one.
func isCheckPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '#'
	})
}
