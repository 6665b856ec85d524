package guard

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Rules define which identities a certificate allows a proxy to claim. They are immutable. A nil *Rules means that
// there is no rule.
type Rules struct{ templates []template }

// template is one rule: a name in a certificate, with placeholders for the identity of the proxy.
type template struct {
	text    string
	dns     bool // it matches DNS names, otherwise URIs
	pattern *regexp.Regexp
}

// Placeholders of templates. Each stands for one segment of a name: the text between two slashes of a URI, or between
// two dots of a DNS name.
const (
	anySegment = "any"      // any text
	workload   = "workload" // the node's cluster; the node's id must then belong to one of the workload's pods
	node       = "node"     // the node's id
)

const dnsPrefix = "dns:"

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// ParseRules compiles templates such as
//
//	spiffe://{any}/ns/{any}/sa/{workload}
//	dns:{workload}.{any}.svc
//	dns:{node}.proxies.example.com
//
// A certificate allows an identity if one of its URIs or DNS names matches one of the templates with it. Without
// templates [ParseRules] returns nil. Its error names every template that is wrong.
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
		case name != anySegment && name != workload && name != node:
			return t, fmt.Errorf("has the placeholder {%s}; must be {workload}, {node} or {any}", name)
		case name != anySegment && used[name]:
			return t, fmt.Errorf("has {%s} twice", name)
		case at[0] == last && last > 0:
			return t, errors.New("has two placeholders with nothing between them")
		}
		used[name] = true
		b.WriteString(regexp.QuoteMeta(rest[last:at[0]]))
		if name == anySegment {
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

// BindWorkloads reports whether every rule fixes the node's cluster, so that no proxy can choose its workload.
func (r *Rules) BindWorkloads() bool {
	return r != nil && !slices.ContainsFunc(r.templates, func(t template) bool { return t.pattern.SubexpIndex(workload) < 0 })
}

// claim is the identity that one name in a certificate allows. An empty workload or node allows all.
type claim struct {
	name           string // in the certificate
	workload, node string
}

// claims returns the identities that a certificate with these names allows, in the order of the rules and the names.
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

// allows reports whether a proxy may claim the node id and the workload cluster.
func (c *claim) allows(id, cluster string) bool {
	if c.workload != "" && (cluster != c.workload || !isPodOf(id, c.workload)) {
		return false
	}
	return c.node == "" || id == c.node
}

// allowsID reports whether a proxy may claim the node id when it names no workload.
func (c *claim) allowsID(id string) bool {
	return (c.workload == "" || isPodOf(id, c.workload)) && (c.node == "" || id == c.node)
}

// isPodOf reports whether id is the name of a workload or of one of its pods. A pod's name ends with a number for
// StatefulSets, and with generated letters for Deployments, DaemonSets and Jobs. Any other ending could belong to
// another workload: "pay-backend-0" is no pod of "pay". The letters come from k8s.io/apimachinery/pkg/util/rand.
func isPodOf(id, workload string) bool {
	if at := len(id) - 5; at == maxGenerated && strings.Trim(id[at:], suffixLetters) == "" { // Kubernetes may have cut the name before them
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
	return len(rest) == 5 && strings.Trim(rest, suffixLetters) == ""
}

// isHash reports whether text can be, or can begin, the part that Kubernetes puts between the name of a Deployment or a
// CronJob and the last five letters of a pod's name.
func isHash(text string) bool {
	return len(text) <= 10 && strings.Trim(text, suffixLetters+"013") == ""
}

// maxGenerated is the length in bytes to which Kubernetes cuts a name before it appends five letters
// (k8s.io/apiserver/pkg/storage/names).
const maxGenerated = 58

// suffixLetters are the letters and digits that Kubernetes uses in generated names.
const suffixLetters = "bcdfghjklmnpqrstvwxz2456789"
