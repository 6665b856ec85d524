package policy_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"breakwater.dev/policy"
)

// fill sets everything in v that can be set: it makes what pointers point to, and gives lists one item.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	}
}

// values calls each for every plain value in v that can be set, with a function that changes it.
func values(v reflect.Value, path string, each func(path string, change func())) {
	switch v.Kind() {
	case reflect.Pointer:
		values(v.Elem(), path, each)
	case reflect.Slice:
		values(v.Index(0), path, each)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Addr]() {
			each(path, func() { v.Set(reflect.ValueOf(netip.MustParseAddr("10.0.0.1"))) })
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				values(v.Field(i), path+"."+v.Type().Field(i).Name, each)
			}
		}
	case reflect.String:
		each(path, func() { v.SetString(v.String() + "x") })
	case reflect.Bool:
		each(path, func() { v.SetBool(!v.Bool()) })
	case reflect.Int, reflect.Int64:
		each(path, func() { v.SetInt(v.Int() + 1) })
	default:
		each(path, func() { v.SetUint(v.Uint() + 1) })
	}
}

// TestFingerprintCoversEverything but the places where it was written, also in fields that are added later.
func TestFingerprintCoversEverything(t *testing.T) {
	u := &policy.Upstream{}
	fill(reflect.ValueOf(u).Elem())
	seen := map[policy.Fingerprint]string{u.Fingerprint(): "the first"}
	values(reflect.ValueOf(u).Elem(), "Upstream", func(path string, change func()) {
		change()
		other, known := seen[u.Fingerprint()]
		if isPlace := strings.Contains(path, ".Origin"); known != isPlace {
			t.Errorf("a change of %s gives the fingerprint of another upstream (%q): %t, want %t", path, other, known, isPlace)
		}
		seen[u.Fingerprint()] = path
	})
	if len(seen) < 60 {
		t.Errorf("only %d fields count", len(seen))
	}
}

// TestFingerprintOfOutcomes: which responses are failures is a part of the meaning.
func TestFingerprintOfOutcomes(t *testing.T) {
	seen := map[policy.Fingerprint]bool{}
	for _, classify := range []string{`failure: {statusCodes: ["503"]}`, `failure: {statusCodes: ["502"]}`, `ignore: {statusCodes: ["404"]}`, `ignore: {grpcStatus: [ABORTED]}`} {
		set := mustParse(t, upstreamYAML("a")+strings.Replace(upstreamPolicy("p", "{kind: Mesh}"), "spec: {", "spec: {classify: {"+classify+"}, ", 1))
		seen[set.Upstreams[0].Fingerprint()] = true
	}
	if len(seen) != 4 {
		t.Errorf("4 policies have %d fingerprints", len(seen))
	}
}

// TestCopiesHaveTheirOwnFingerprint: a changed copy of a compiled upstream does not have the fingerprint of the original.
func TestCopiesHaveTheirOwnFingerprint(t *testing.T) {
	original := mustParse(t, upstreamYAML("a")).Upstreams[0]
	same, changed := *original, *original
	changed.Hosts = []string{"b"}
	if same.Fingerprint() != original.Fingerprint() || changed.Fingerprint() == original.Fingerprint() {
		t.Errorf("the original has %x, a copy %x, a changed copy %x", original.Fingerprint(), same.Fingerprint(), changed.Fingerprint())
	}
}
