package kafka

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestPlaces(t *testing.T) {
	source, err := sourceSpec(SourceConfig{Connection: Connection{Brokers: connectors.List{"A:9092", "b"}}, Topics: connectors.List{"x", "y"}}, connectors.About{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"topic x of kafka a:9092", "topic y of kafka a:9092", "topic x of kafka b:9092", "topic y of kafka b:9092"}
	if diff := cmp.Diff(want, source.Places); diff != "" {
		t.Error(diff)
	}
	for text, named := range map[string]bool{"": true, "y": true, "{{ key }}": false} {
		c, about := SinkConfig{Connection: Connection{Brokers: connectors.List{"b:9092"}}, Topic: "y"}, connectors.About{}
		if text != "" {
			template, err := connectors.ParseTemplate(text)
			if err != nil {
				t.Fatal(err)
			}
			c.Topic, about.Map.Topic = "", template
		}
		sink, err := sinkSpec(c, about)
		if err != nil || sink.Named != named || slices.Contains(sink.Places, want[3]) != named {
			t.Errorf("%q: %v, named %v, %v", text, sink.Places, sink.Named, err)
		}
	}
}

// TestPlaceIsTheOrigin: what a sink calls its topic is how the origin of a source that reads it begins.
func TestPlaceIsTheOrigin(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	produce(t, newClient(t, c), "orders", 1, 0, 1)
	h := newHost()
	b := fetchOne(t, open(t, c, h), h, wide)
	s, _ := openTestSink(t, c.ListenAddrs(), "orders", nil)
	place, err := s.Place(t.Context())
	if err != nil || place+"/0" != b.Origin {
		t.Errorf("%q, %v; the source says %q", place, err, b.Origin)
	}
}
