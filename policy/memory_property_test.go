package policy_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"breakwater.dev/policy"
)

// Each document of a file has a place: an upstream, its policy, the policy of its route, or of the mesh.
const places = 10

// plainDocument returns a document for a place that is right, whatever the others are.
func plainDocument(_ *rapid.T, place int) string {
	name := fmt.Sprintf("u%d", place/3)
	switch {
	case place == places-1:
		return policyText("mesh", "targetRefs: [{kind: Mesh}]")
	case place%3 == 0:
		return upstreamText(name, "routes: [{name: r, match: {path: /r}}, {name: s, match: {pathPrefix: /s}}]")
	case place%3 == 1:
		return policyText(fmt.Sprint("p", place), "targetRefs: [{kind: Upstream, name: "+name+"}]")
	}
	return policyText(fmt.Sprint("p", place), "targetRefs: [{kind: Upstream, name: "+name+", sectionName: r}]")
}

// drawDocument draws the document for a place. Nearly all are right and fit the others, whichever these are. Others
// exclude or contradict them.
func drawDocument(t *rapid.T, place int) string {
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom(bad(place)).Draw(t, "mistake")
	case 1:
		place = rapid.IntRange(0, places-1).Draw(t, "another place")
	}
	name := fmt.Sprintf("u%d", place/3)
	target := "targetRefs: [{kind: Upstream, name: " + name + "}]"
	switch {
	case place == places-1:
		return policyText("mesh", "targetRefs: [{kind: Mesh}]"+rapid.SampledFrom([]string{
			"", ", timeout: 5s", ", outlierDetection: {maxEjectionPercent: 100%}", ", breaker: {minimumNumberOfCalls: 20}", ", fallback: {cached: {}}",
		}).Draw(t, "policy for the mesh"))
	case place%3 == 0:
		return upstreamText(name, "routes: [{name: r, match: {path: /r}}, {name: s, match: {pathPrefix: /s}}]"+rapid.SampledFrom([]string{
			"", ", protocol: HTTP2", ", protocol: GRPC", ", hosts: [" + name + ", x" + name + "]", ", hosts: [z, y" + name + "]",
			", loadBalancing: {panicThreshold: 60%}", ", callers: [shop]",
		}).Draw(t, "upstream"))
	case place%3 == 1 && rapid.IntRange(0, 4).Draw(t, "short form") == 0:
		return "services: {" + name + ": {failure_threshold: " + fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "threshold")) + "}}\n"
	case place%3 == 2:
		target = strings.Replace(target, "}", ", sectionName: r}", 1)
	}
	return policyText(fmt.Sprint("p", place), target+rapid.SampledFrom([]string{
		"", ", timeout: 3s", ", timeout: 4s", ", dataPath: Inline", ", fallback: {upstream: u0}", ", fallback: {upstream: u1}",
		", fallback: {cached: {keyHeaders: [x-a]}}", ", classify: {ignore: {statusCodes: [\"501\"]}}", ", breaker: {waitDurationInOpenState: 40s}",
		", breaker: {backoff: {max: 20s}}",
	}).Draw(t, "policy"))
}

// source is files as they change, and the objects that each file has.
type source struct {
	names   []string
	texts   [][]string // the documents of each file
	places  [][]int    // each document has one
	objects [][]*policy.Object
	next    int // the number of the next new file
}

// copied returns the same files, which are not read yet.
func (s *source) copied() *source {
	next := *s
	next.names, next.texts, next.places, next.objects = slices.Clone(s.names), slices.Clone(s.texts), slices.Clone(s.places), make([][]*policy.Object, len(s.names))
	return &next
}

func (s *source) file(i int) policy.File {
	return policy.File{Name: s.names[i], Data: []byte(strings.Join(s.texts[i], "---\n"))}
}

// add adds a file with the documents for some places.
func (s *source) add(t *rapid.T, places []int, draw func(t *rapid.T, place int) string) {
	at := rapid.IntRange(0, len(s.names)).Draw(t, "position of the new file")
	var texts []string
	for _, place := range places {
		texts = append(texts, draw(t, place))
	}
	s.names = slices.Insert(s.names, at, fmt.Sprintf("%d.yaml", s.next))
	s.texts, s.places = slices.Insert(s.texts, at, texts), slices.Insert(s.places, at, places)
	s.objects = slices.Insert(s.objects, at, nil)
	s.next++
}

// edit changes one thing, and forgets the objects of the file that it changes.
func (s *source) edit(t *rapid.T) {
	i := rapid.IntRange(0, len(s.names)-1).Draw(t, "file")
	switch what := rapid.IntRange(0, 6).Draw(t, "edit"); {
	case what == 0: // it is written again, elsewhere
		places := s.places[i]
		s.remove(i)
		s.add(t, places, drawDocument)
		return
	case what == 1 && len(s.names) > 1:
		s.remove(i)
		return
	case what == 2:
		s.names[i] = fmt.Sprintf("%d.yaml", s.next)
		s.next++
	case what == 3:
		s.texts[i] = slices.Clone(s.texts[i])
		s.texts[i][0] = "# a line more\n" + s.texts[i][0]
	case what == 4:
		// It is read again, and says the same.
	default:
		s.texts[i] = slices.Clone(s.texts[i])
		at := rapid.IntRange(0, len(s.texts[i])-1).Draw(t, "document")
		s.texts[i][at] = drawDocument(t, s.places[i][at])
	}
	s.objects[i] = nil
}

func (s *source) remove(i int) {
	s.names, s.texts = slices.Delete(s.names, i, i+1), slices.Delete(s.texts, i, i+1)
	s.places, s.objects = slices.Delete(s.places, i, i+1), slices.Delete(s.objects, i, i+1)
}

// load returns the files, and their objects for a compiler that remembers.
func (s *source) load() (files []policy.File, objects []*policy.Object) {
	for i := range s.names {
		files = append(files, s.file(i))
		if s.objects[i] == nil {
			s.objects[i] = files[i].Objects()
		}
	}
	return files, policy.Join("", s.objects)
}

// TestMemoryChangesNothing: however files change, a compiler that remembers gives what a new one gives, and what did
// not change stays the very same.
func TestMemoryChangesNothing(t *testing.T) {
	sets, refusals, kept, replaced := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := &source{}
		for from := 0; from < places; from += 2 {
			s.add(t, []int{from, from + 1}, plainDocument)
		}
		good := s.copied()
		c := policy.NewCompiler(policy.BuiltinDefaults())
		last := &policy.Set{}
		for range rapid.IntRange(2, 8).Draw(t, "loads") {
			files, objects := s.load()
			want, wantProblems := policy.Parse(files, policy.BuiltinDefaults())
			set, problems := c.CompileAll(objects)
			if diff := cmp.Diff(wantProblems, problems); diff != "" {
				t.Fatalf("diagnostics differ (-fresh +remembering):\n%s", diff)
			}
			if want == nil {
				refusals++
				if s.edit(t); rapid.IntRange(0, 2).Draw(t, "put back") > 0 {
					s = good.copied()
				}
				continue
			}
			sets++
			good = s.copied()
			s.edit(t)
			if !reflect.DeepEqual(set, want) {
				t.Fatalf("the sets differ (-fresh +remembering):\n%s", cmp.Diff(setText(t, want), setText(t, set)))
			}
			if (set == last) != reflect.DeepEqual(want, last) {
				t.Fatalf("it is the last set: %t, and equal to it: %t", set == last, set != last)
			}
			for _, u := range set.Upstreams {
				old := last.Upstream(u.Name)
				if (u == old) != (old != nil && reflect.DeepEqual(u, old)) {
					t.Fatalf("upstream %s is the last one: %t, and equal to it: %t", u.Name, u == old, u != old)
				}
				if u == old {
					kept++
				} else if old != nil {
					replaced++
				}
			}
			last = set
		}
	})
	if sets < 50 || refusals < 50 || kept < 50 || replaced < 20 {
		t.Errorf("%d sets, %d refusals, %d upstreams kept, %d replaced: the policies show too little", sets, refusals, kept, replaced)
	}
	t.Logf("%d sets, %d refusals, %d upstreams kept, %d replaced", sets, refusals, kept, replaced)
}
