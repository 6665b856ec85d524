package guard

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Rules say which certificates may act as which proxies. They are immutable.
type Rules struct{ templates []template }

// template is one rule: a name in a certificate, with places for what a proxy claims.
type template struct {
	text    string
	dns     bool // it is about DNS names; else about URIs
	pattern *regexp.Regexp
}

// Placeholders of templates. Each stands for one segment of a name: what is between slashes in
// a URI, between dots in a DNS name.
const (
	anyone   = "any"      // whatever it is
	workload = "workload" // the node's cluster; and the node's id is that of one of its pods
	node     = "node"     // the node's id
)

const dnsPrefix = "dns:"

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// ParseRules compiles templates such as
//
//	spiffe://{any}/ns/{any}/sa/{workload}
//	dns:{workload}.{any}.svc
//	dns:{node}.proxies.example.com
//
// A certificate may act as a proxy if one of its URIs or DNS names fits one of the templates.
// No templates: there is no rule, and [ParseRules] returns nil. An error names every template
// that cannot be.
func ParseRules(texts []string) (*Rules, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	r := &Rules{}
	var problems []error
	for i, text := range texts {
		t, err := parseTemplate(text)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%q %w", text, err))
		case slices.Contains(texts[:i], text):
			problems = append(problems, fmt.Errorf("%q is given twice", text))
		}
		r.templates = append(r.templates, t)
	}
	return r, errors.Join(problems...)
}

func parseTemplate(text string) (template, error) {
	t := template{text: text}
	rest, segment := text, "[^/]+"
	if t.dns = strings.HasPrefix(text, dnsPrefix); t.dns {
		rest, segment = strings.ToLower(text[len(dnsPrefix):]), "[^.*]+"
	}
	switch scheme, path, isURI := strings.Cut(rest, "://"); {
	case t.dns && (rest == "" || strings.ContainsAny(rest, "/:*")):
		return t, errors.New("names no DNS name; must be such as dns:{workload}.{any}.svc")
	case !t.dns && (!isURI || scheme == "" || path == "" || strings.ContainsAny(scheme, "{}")):
		return t, fmt.Errorf("is neither a URI such as spiffe://{any}/ns/{any}/sa/{workload} nor begins with %q", dnsPrefix)
	}
	var b strings.Builder
	b.WriteString("^")
	last := 0
	used := map[string]bool{}
	for _, at := range placeholder.FindAllStringIndex(rest, -1) {
		name := rest[at[0]+1 : at[1]-1]
		switch {
		case name != anyone && name != workload && name != node:
			return t, fmt.Errorf("has the placeholder {%s}; must be {workload}, {node} or {any}", name)
		case name != anyone && used[name]:
			return t, fmt.Errorf("has {%s} twice", name)
		case at[0] == last && last > 0:
			return t, errors.New("has two placeholders with nothing between them")
		}
		used[name] = true
		b.WriteString(regexp.QuoteMeta(rest[last:at[0]]))
		if name == anyone {
			b.WriteString(segment)
		} else {
			fmt.Fprintf(&b, "(?P<%s>%s)", name, segment)
		}
		last = at[1]
	}
	if strings.ContainsAny(rest[last:], "{}") {
		return t, errors.New("has a brace that is not closed")
	}
	if !used[workload] && !used[node] {
		return t, errors.New("has neither {workload} nor {node}: any proxy could claim to be any other")
	}
	b.WriteString(regexp.QuoteMeta(rest[last:]) + "$")
	pattern, err := regexp.Compile(b.String())
	if err != nil {
		return t, fmt.Errorf("does not compile: %w", err)
	}
	t.pattern = pattern
	return t, nil
}

// BindWorkloads tells whether no certificate lets a proxy choose its node.cluster.
func (r *Rules) BindWorkloads() bool {
	return r != nil && !slices.ContainsFunc(r.templates, func(t template) bool { return t.pattern.SubexpIndex(workload) < 0 })
}

// claim is what one name in a certificate allows. Empty fields allow all.
type claim struct {
	name           string // in the certificate
	workload, node string
}

// claims returns what a certificate with these names allows, in their order; none: nothing.
func (r *Rules) claims(uris, dns []string) []claim {
	var all []claim
	for _, t := range r.templates {
		names := uris
		if t.dns {
			names = dns
		}
		for _, name := range names {
			if t.dns {
				name = strings.ToLower(name)
			}
			m := t.pattern.FindStringSubmatch(name)
			if m == nil {
				continue
			}
			c := claim{name: name}
			for i, group := range t.pattern.SubexpNames() {
				switch group {
				case workload:
					c.workload = m[i]
				case node:
					c.node = m[i]
				}
			}
			all = append(all, c)
		}
	}
	return all
}

// allows tells whether a proxy may call itself id, of the workload cluster.
func (c *claim) allows(id, cluster string) bool {
	if c.workload != "" && (cluster != c.workload || !isPodOf(id, c.workload)) {
		return false
	}
	return c.node == "" || id == c.node
}

// allowsID is allows for a proxy that says its id alone.
func (c *claim) allowsID(id string) bool {
	return (c.workload == "" || isPodOf(id, c.workload)) && (c.node == "" || id == c.node)
}

// isPodOf tells whether id is the name of a workload or of one of its pods: with a number
// behind it (StatefulSets), or what Kubernetes makes up for pods of Deployments, DaemonSets and
// Jobs. Anything else could be the name of another workload: "pay-backend-0" is none of "pay".
// The letters are those of k8s.io/apimachinery/pkg/util/rand.
func isPodOf(id, workload string) bool {
	if at := len(id) - 5; at == maxGenerated && strings.Trim(id[at:], madeUp) == "" { // what is before them may be cut
		if strings.HasPrefix(workload, id[:at]) {
			return true
		}
		if hash, ok := strings.CutPrefix(id[:at], workload+"-"); ok && isHash(hash) {
			return true
		}
	}
	rest, ok := strings.CutPrefix(id, workload)
	if !ok || rest == "" {
		return ok
	}
	if rest[0] != '-' {
		return false
	}
	rest = rest[1:]
	if rest != "" && strings.Trim(rest, "0123456789") == "" {
		return true
	}
	if first, last, two := strings.Cut(rest, "-"); two {
		if first == "" || !isHash(first) {
			return false
		}
		rest = last
	}
	return len(rest) == 5 && strings.Trim(rest, madeUp) == ""
}

// isHash tells whether a text is what Kubernetes puts between the name of a Deployment or a CronJob
// and the end of a pod's, or the beginning of it.
func isHash(text string) bool { return len(text) <= 10 && strings.Trim(text, madeUp+"013") == "" }

// maxGenerated is at how many bytes Kubernetes cuts a name before it puts five letters behind it
// (k8s.io/apiserver/pkg/storage/names).
const maxGenerated = 58

const madeUp = "bcdfghjklmnpqrstvwxz2456789"
