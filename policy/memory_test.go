package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// shopFiles are files in which upstreams depend on policies, and web on backup.
var shopFiles = map[string]string{
	"backup.yaml": "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: backup}\nspec:\n  hosts: [backup]\n  endpoints: [{address: 10.0.0.1, port: 80}]\n",
	"mesh.yaml":   "apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: mesh}\nspec:\n  targetRefs: [{kind: Mesh}]\n  timeout: 5s\n",
	"shop.yaml": "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: shop}\nspec:\n  endpoints: [{address: 10.0.0.2, port: 80}]\n  routes: [{name: pay, match: {path: /pay}}]\n" +
		"---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: pay}\nspec:\n  targetRefs: [{kind: Upstream, name: shop, sectionName: pay}]\n  timeout: 4s\n",
	"web.yaml": "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: web}\nspec:\n  endpoints: [{address: 10.0.0.3, port: 80}]\n" +
		"---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: web}\nspec:\n  targetRefs: [{kind: Upstream, name: web}]\n  fallback: {upstream: backup}\n",
}

// mesh is files and their objects, and the compiler that has compiled them.
type mesh struct {
	files    map[string]string
	objects  map[string][]*Object
	compiler *Compiler
}

func newMesh(t *testing.T) *mesh {
	m := &mesh{files: maps.Clone(shopFiles), objects: map[string][]*Object{}, compiler: NewCompiler(BuiltinDefaults())}
	if _, problems := m.load(); len(problems) > 0 {
		t.Fatal(problems)
	}
	return m
}

// write replaces the text of a file, which is read again; "" removes the file.
func (m *mesh) write(name, text string) {
	delete(m.objects, name)
	if m.files[name] = text; text == "" {
		delete(m.files, name)
	}
}

func (m *mesh) load() (*Set, Diagnostics) {
	var each [][]*Object
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		f := File{Name: name, Data: []byte(m.files[name])}
		if m.objects[name] == nil {
			m.objects[name] = f.Objects()
		}
		each = append(each, m.objects[name])
	}
	return m.compiler.CompileAll(Join("", each))
}

// outcomes returns what each upstream became, by name.
func (m *mesh) outcomes() map[string]*outcome {
	all := map[string]*outcome{}
	for o, r := range m.compiler.memory.readings {
		if r.upstream != nil {
			all[o.Name] = r.last
		}
	}
	return all
}

// TestWorkOfAChange shows, for each kind of change, which upstreams are compiled again, and which are other ones in the
// set. Upstreams that are compiled to what they were are the same ones.
func TestWorkOfAChange(t *testing.T) {
	for name, tt := range map[string]struct {
		file, old, with    string // with takes the place of old in a file
		compiled, replaced string
		sameMeaning        bool
		compares           bool // all objects are compared again
	}{
		"a file that says the same": {file: "web.yaml", compiled: "web", sameMeaning: true},
		"a line more":               {file: "web.yaml", old: "apiVersion", with: "# a comment\napiVersion", compiled: "web", replaced: "web", sameMeaning: true},
		"a policy moves":            {file: "web.yaml", old: "---", with: "---\n# a comment", compiled: "web", replaced: "web", sameMeaning: true},
		"an upstream":               {file: "shop.yaml", old: "port: 80", with: "port: 81", compiled: "shop", replaced: "shop"},
		"the policy of a route":     {file: "shop.yaml", old: "4s", with: "3s", compiled: "shop", replaced: "shop"},
		"the policy of an upstream": {file: "web.yaml", old: "fallback", with: "timeout: 3s\n  fallback", compiled: "web", replaced: "web"},
		"the policy for the mesh":   {file: "mesh.yaml", old: "5s", with: "6s", compiled: "backup shop web", replaced: "backup shop web"},
		"the same for the mesh":     {file: "mesh.yaml", old: "5s", with: "5000ms", compiled: "backup shop web", sameMeaning: true},
		"a host of a fallback":      {file: "backup.yaml", old: "[backup]", with: "[other]", compiled: "backup", replaced: "backup web", compares: true},
		"an endpoint of a fallback": {file: "backup.yaml", old: "port: 80", with: "port: 81", compiled: "backup", replaced: "backup"},
		"a policy goes":             {file: "mesh.yaml", old: shopFiles["mesh.yaml"], compiled: "backup shop web", replaced: "backup shop web", compares: true},
		"an upstream comes":         {file: "new.yaml", with: strings.ReplaceAll(shopFiles["backup.yaml"], "backup", "new"), compiled: "new", replaced: "new", compares: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t)
			before, outcomes, list := m.compiler.memory.set, m.outcomes(), m.compiler.memory.last.upstreams
			m.write(tt.file, strings.Replace(m.files[tt.file], tt.old, tt.with, 1))
			set, problems := m.load()
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if compares := &list[0] != &m.compiler.memory.last.upstreams[0]; compares != tt.compares {
				t.Errorf("all objects are compared: %t, want %t", compares, tt.compares)
			}
			var compiled, replaced []string
			for _, u := range set.Upstreams {
				if m.outcomes()[u.Name] != outcomes[u.Name] {
					compiled = append(compiled, u.Name)
				}
				if old := before.Upstream(u.Name); old != u {
					replaced = append(replaced, u.Name)
					if old != nil && (old.Fingerprint() == u.Fingerprint()) != tt.sameMeaning {
						t.Errorf("the fingerprint of %s is the same: %t", u.Name, !tt.sameMeaning)
					}
				}
			}
			if got := strings.Join(compiled, " "); got != tt.compiled {
				t.Errorf("compiled %q, want %q", got, tt.compiled)
			}
			if got := strings.Join(replaced, " "); got != tt.replaced {
				t.Errorf("replaced %q, want %q", got, tt.replaced)
			}
			if (set == before) != (tt.replaced == "") || (set.Revision == before.Revision) != tt.sameMeaning {
				t.Errorf("it is the set from before: %t, of revision %s, after %s", set == before, set.Revision, before.Revision)
			}
			if m.load(); len(m.compiler.memory.readings) != len(slices.Concat(slices.Collect(maps.Values(m.objects))...)) {
				t.Errorf("what %d objects said is remembered", len(m.compiler.memory.readings))
			}
		})
	}
}

// TestARefusalForgetsNothing: when a mistake is taken back, the set is the one from before.
func TestARefusalForgetsNothing(t *testing.T) {
	m := newMesh(t)
	before := m.compiler.memory.set
	for file, mistake := range map[string]string{
		"backup.yaml": "", // the fallback of web is gone
		"mesh.yaml":   "a: b",
		"shop.yaml":   strings.Replace(shopFiles["shop.yaml"], "name: shop", "name: web", 1),
		"web.yaml":    "{",
	} {
		m.write(file, mistake)
		if set, problems := m.load(); set != nil || len(problems) == 0 {
			t.Errorf("%s: set %v, %v", file, set, problems)
		}
		m.write(file, shopFiles[file])
		if set, problems := m.load(); set != before {
			t.Errorf("%s: the set is another one than before, %v", file, problems)
		}
	}
}

// TestSetsThatDifferInPlacesOnly are different sets, since they show places.
func TestSetsThatDifferInPlacesOnly(t *testing.T) {
	note := "  breaker: {waitDurationInOpenState: 15s}\n  # a line\n  outlierDetection: {alwaysEjectOneEndpoint: true}\n"
	for what, tt := range map[string]struct{ file, text, moved string }{
		"a policy without an upstream": {"mesh.yaml", shopFiles["mesh.yaml"], "# a line\n" + shopFiles["mesh.yaml"]},
		"a note":                       {"mesh.yaml", shopFiles["mesh.yaml"] + note, shopFiles["mesh.yaml"] + strings.Replace(note, "# a line", "# a line\n  # and one more", 1)},
	} {
		m := newMesh(t)
		if what != "a note" {
			maps.DeleteFunc(m.files, func(name, _ string) bool { return name != "mesh.yaml" })
		}
		m.write(tt.file, tt.text)
		before, problems := m.load()
		m.write(tt.file, tt.moved)
		after, more := m.load()
		if len(problems)+len(more) > 0 {
			t.Fatal(problems, more)
		}
		if before == after || before.Revision != after.Revision {
			t.Errorf("%s moves: the set is the one from before: %t, of revision %s, after %s", what, before == after, after.Revision, before.Revision)
		}
	}
}

// TestChangesThatConcernOthers: where an object changes in a way that other objects depend on, or becomes wrong, the result
// is the same as without memory, although every object but that one is as before.
func TestChangesThatConcernOthers(t *testing.T) {
	const tcp = "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: NAME}\nspec: {protocol: TCP, port: PORT, endpoints: [{address: 10.0.0.4, port: 80}]}\n"
	more := map[string]string{
		"db1.yaml":   strings.NewReplacer("NAME", "db1", "PORT", "1001").Replace(tcp),
		"db2.yaml":   strings.NewReplacer("NAME", "db2", "PORT", "1002").Replace(tcp),
		"short.yaml": "services: {db1: {failure_threshold: 4}}\n",
		"long.yaml":  "apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: db1}\nspec: {targetRefs: [{kind: Upstream, name: db2}]}\n",
		"two.yaml":   strings.Replace(shopFiles["shop.yaml"], "[{name: pay", "[{name: first, match: {path: /first}}, {name: pay", 1),
	}
	more["two.yaml"] = strings.NewReplacer("name: shop", "name: two", "{name: pay}", "{name: two}").Replace(more["two.yaml"])
	for name, tt := range map[string]struct{ file, old, with, rule string }{
		"an upstream becomes wrong":        {"web.yaml", "port: 80", "port: x", "wrong-type"},
		"a policy becomes wrong":           {"shop.yaml", "4s", "4", "bad-duration"},
		"the head becomes wrong":           {"web.yaml", "{name: web}", "{name: web, labels: {a: 1}}", "wrong-type"},
		"an upstream has another name":     {"shop.yaml", "{name: shop}", "{name: shopping}", "unknown-target"},
		"one without hosts, too":           {"db1.yaml", "{name: db1}", "{name: db3}", "unknown-target"},
		"a host of another upstream":       {"backup.yaml", "[backup]", "[shop]", "duplicate-host"},
		"the port of another upstream":     {"db2.yaml", "1002", "1001", "duplicate-port"},
		"a route has another name":         {"two.yaml", "{name: pay", "{name: buy", "unknown-target"},
		"a route is in another one's way":  {"two.yaml", "path: /first", "pathPrefix: /", "unreachable-route"},
		"a policy has another target":      {"web.yaml", "kind: Upstream, name: web", "kind: Upstream, name: backup", "fallback-ring"},
		"a policy has one target too many": {"mesh.yaml", "[{kind: Mesh}]", "[{kind: Mesh}, {kind: Upstream, name: web}]", "duplicate-target"},
		"a policy has another one's name":  {"shop.yaml", "{name: pay}", "{name: web}", "duplicate-name"},
		"the short form becomes a policy":  {"short.yaml", more["short.yaml"], strings.Replace(more["long.yaml"], "name: db2", "name: db1", 1), "duplicate-name"},
		"a policy contradicts an upstream": {"web.yaml", "fallback:", "outlierDetection: {maxEjectionPercent: 10%}\n  fallback:", "never-ejects"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t)
			maps.Copy(m.files, more)
			if _, problems := m.load(); len(problems) > 0 {
				t.Fatal(problems)
			}
			m.write(tt.file, strings.Replace(m.files[tt.file], tt.old, tt.with, 1))
			set, problems := m.load()
			fresh := &mesh{files: m.files, objects: map[string][]*Object{}, compiler: NewCompiler(BuiltinDefaults())}
			_, want := fresh.load()
			if set != nil || !slices.Equal(problems, want) || len(want) == 0 || want[0].Rule != tt.rule {
				t.Errorf("set %v with problems\n%v\nwant\n%v, of rule %s", set, problems, want, tt.rule)
			}
		})
	}
}
