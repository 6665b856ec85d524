package resource

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"sync/atomic"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/xds/internal/message"
)

// Resource is one resource in one version. It is immutable, apart from the mark of a suspect.
type Resource struct {
	Name string
	// Version is a hash of the content: equal content has equal versions, in every process.
	Version string
	TypeURL string
	// Hosts are the hosts whose requests a virtual host takes; nil for every other type.
	Hosts []string
	// Takeovers are the hosts to which a virtual host sends requests that another upstream takes over.
	Takeovers []string

	// wire is the resource as a field of a delta response, and packed is where in it the field with the packed message
	// begins. A resource of which only the version is known has none.
	wire   []byte
	packed int
	delta  mem.Buffer // wire
	sotw   mem.Buffer // wire from packed on
	sum    sum

	suspect atomic.Bool
}

// The numbers of the fields that hold resources. In a response of either variant they have the same number as the packed
// message has in a resource of a delta response, so that one encoding serves both.
const (
	responseResources protowire.Number = 2 // in DeltaDiscoveryResponse and in DiscoveryResponse
	resourceVersion   protowire.Number = 1
	resourcePacked    protowire.Number = 2
	resourceName      protowire.Number = 3
	resourceTTL       protowire.Number = 6
	anyTypeURL        protowire.Number = 1
	anyValue          protowire.Number = 2
)

// Make validates and marshals a message, and returns it as a resource.
func Make(name string, m message.Valid) (*Resource, error) {
	body, err := message.Pack(m)
	if err != nil {
		return nil, fmt.Errorf("resource %q: %w", name, err)
	}
	return New(name, VersionOf(body.GetValue()), body), nil
}

// VersionOf returns the version of a content.
func VersionOf(content []byte) string {
	sum := sha256.Sum256(content)
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// New returns a resource with a packed message. It copies the message.
func New(name, version string, body *anypb.Any) *Resource {
	r := &Resource{Name: name, Version: version, TypeURL: body.GetTypeUrl(), sum: sumOf(name, version)}
	packed := protowire.SizeTag(anyTypeURL) + protowire.SizeBytes(len(body.GetTypeUrl())) + protowire.SizeTag(anyValue) + protowire.SizeBytes(len(body.GetValue()))
	inner := protowire.SizeTag(resourceName) + protowire.SizeBytes(len(name)) + protowire.SizeTag(resourceVersion) + protowire.SizeBytes(len(version)) +
		protowire.SizeTag(resourcePacked) + protowire.SizeBytes(packed)
	b := make([]byte, 0, protowire.SizeTag(responseResources)+protowire.SizeBytes(inner))
	b = protowire.AppendVarint(protowire.AppendTag(b, responseResources, protowire.BytesType), uint64(inner))
	b = protowire.AppendString(protowire.AppendTag(b, resourceName, protowire.BytesType), name)
	b = protowire.AppendString(protowire.AppendTag(b, resourceVersion, protowire.BytesType), version)
	r.packed = len(b)
	b = protowire.AppendVarint(protowire.AppendTag(b, resourcePacked, protowire.BytesType), uint64(packed))
	b = protowire.AppendString(protowire.AppendTag(b, anyTypeURL, protowire.BytesType), body.GetTypeUrl())
	r.wire = protowire.AppendBytes(protowire.AppendTag(b, anyValue, protowire.BytesType), body.GetValue())
	r.delta, r.sotw = mem.SliceBuffer(r.wire), mem.SliceBuffer(r.wire[r.packed:])
	return r
}

// Claimed returns a resource that a proxy says it has: only its name and its version are known.
func Claimed(name, version string) *Resource {
	return &Resource{Name: name, Version: version, sum: sumOf(name, version)}
}

// IsClaimed reports whether only the name and the version are known.
func (r *Resource) IsClaimed() bool { return r.wire == nil }

// Suspect marks the resource as one that a proxy has refused, so that other proxies may be sent it apart from others. Safe for
// concurrent use.
func (r *Resource) Suspect() { r.suspect.Store(true) }

// IsSuspect reports whether a proxy has refused the resource. Safe for concurrent use.
func (r *Resource) IsSuspect() bool { return r.suspect.Load() }

// Delta returns the field of a DeltaDiscoveryResponse that holds the resource, for any number of responses.
func (r *Resource) Delta() mem.Buffer { return r.delta }

// Sotw returns the field of a DiscoveryResponse that holds the resource, for any number of responses. It is also the field of a
// resource in a DeltaDiscoveryResponse that holds the message.
func (r *Resource) Sotw() mem.Buffer { return r.sotw }

// Size returns the size of the resource in a DeltaDiscoveryResponse, in bytes.
func (r *Resource) Size() int { return len(r.wire) }

// Value returns the marshalled message. The caller must not change it.
func (r *Resource) Value() []byte {
	if r.IsClaimed() {
		return nil
	}
	_, _, n := protowire.ConsumeTag(r.wire[r.packed:])
	content, _ := protowire.ConsumeBytes(r.wire[r.packed+n:])
	_, _, n = protowire.ConsumeTag(content)
	_, url := protowire.ConsumeBytes(content[n:])
	content = content[n+url:]
	_, _, n = protowire.ConsumeTag(content)
	value, _ := protowire.ConsumeBytes(content[n:])
	return value
}

// Body returns the packed message, which must not be changed.
func (r *Resource) Body() *anypb.Any { return &anypb.Any{TypeUrl: r.TypeURL, Value: r.Value()} }

// Message unmarshals the message. The resource must be more than claimed. Message panics if the content is none of the type's,
// which cannot be: it was marshalled from a message.
func (r *Resource) Message() proto.Message {
	m, err := r.Body().UnmarshalNew()
	if err != nil {
		panic(fmt.Sprintf("resource %q: %v", r.Name, err))
	}
	return m
}

// sum identifies a set of names and versions, or of names, in this process. Sums of parts add up to the sum of the whole.
type sum [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func sumOf(name, version string) sum {
	var s sum
	for i := range s {
		s[i] = maphash.Comparable(seeds[i], [2]string{name, version})
	}
	return s
}

func (s sum) plus(t sum) sum { return sum{s[0] + t[0], s[1] + t[1]} }

func (s sum) minus(t sum) sum { return sum{s[0] - t[0], s[1] - t[1]} }
