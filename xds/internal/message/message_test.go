package message

import (
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// TestPackRefusesWhatIsNotValid, and names the type.
func TestPackRefusesWhatIsNotValid(t *testing.T) {
	packed, err := Pack(&clusterv3.Cluster{})
	if want := "packing type.googleapis.com/envoy.config.cluster.v3.Cluster: "; err == nil || packed != nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, %v, want an error that begins with %q", packed, err, want)
	}
}

// TestPackOrdersMaps, which protobuf does not by itself.
func TestPackOrdersMaps(t *testing.T) {
	fields := map[string]*structpb.Value{}
	for c := 'a'; c <= 'z'; c++ {
		fields[string(c)] = structpb.NewNullValue()
	}
	m := &corev3.Node{Metadata: &structpb.Struct{Fields: fields}}
	first, err := Pack(m)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := Pack(m); err != nil || !proto.Equal(first, again) {
			t.Fatalf("packed differently: %v", err)
		}
	}
}

// TestStringsStayStrings: Envoy reads YAML 1.1, where n, off and 1:30 are not strings.
func TestStringsStayStrings(t *testing.T) {
	for _, id := range []string{"n", "yes", "off", "null", "~", "1", "1e3", "0x10", "1:30", "", "- a", "a: b", "a\nb", "#", "2026-01-01"} {
		out, err := YAML([]proto.Message{&corev3.Node{Id: id, Cluster: "c"}})
		if err != nil {
			t.Fatal(err)
		}
		plain := "id: " + id + "\n"
		if id != "" && strings.HasPrefix(string(out), plain) {
			t.Errorf("%q is printed without quotes: %s", id, out)
		}
		var back struct{ ID string }
		if err := yaml.Unmarshal(out, &back); err != nil || back.ID != id {
			t.Errorf("%q reads back as %q, %v", id, back.ID, err)
		}
	}
}
