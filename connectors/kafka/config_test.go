package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// paths returns the keys that an error blames, in order.
func paths(err error) (all []string) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, paths(e)...)
		}
		return all
	}
	if f, ok := errors.AsType[*connectors.FieldError](err); ok {
		all = append(all, f.Path)
	}
	return all
}

func TestConfigFaultsAtOnce(t *testing.T) {
	bad := `
brokers: "kafka://h:1, h2:99999, :9092"
password: x
dial_timeout: 1ms
topics: [a, "b c", a]
group: ""
fetch_max_bytes: 1KiB
isolation: dirty
`
	_, err := Plugin().Source(connectortest.Decode(bad), connectortest.About())
	want := []string{"brokers", "brokers", "brokers", "username", "dial_timeout", "topics", "topics", "group", "fetch_max_bytes", "isolation"}
	if diff := cmp.Diff(want, paths(err)); diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	bad = `
topic: "..."
username: u
partitioner: random
compression: brotli
max_message: 1B
`
	_, err = Plugin().Sink(connectortest.Decode(bad), connectortest.About())
	want = []string{"brokers", "password", "partitioner", "compression", "max_message"}
	if diff := cmp.Diff(want, paths(err)); diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestSinkTopicOrMap(t *testing.T) {
	about := connectortest.About()
	if _, err := Plugin().Sink(connectortest.Decode("brokers: h\n"), about); !cmp.Equal(paths(err), []string{"topic"}) {
		t.Errorf("neither: %v", err)
	}
	about.Map.Topic, _ = connectors.ParseTemplate("{{ key }}")
	if _, err := Plugin().Sink(connectortest.Decode("brokers: h\ntopic: t\n"), about); !cmp.Equal(paths(err), []string{"topic"}) {
		t.Errorf("both: %v", err)
	}
	about.Map = connectors.Map{}
	for text, ok := range map[string]bool{"3": true, "{{ key }}": true, "x": false, "-1": false, "": false} {
		about.Map.Partition, _ = connectors.ParseTemplate(text)
		if _, err := Plugin().Sink(connectortest.Decode("brokers: h\ntopic: t\n"), about); (err == nil) != ok {
			t.Errorf("partition %q: %v", text, err)
		}
	}
}

func TestSourceDefaultsAndClaims(t *testing.T) {
	spec, err := Plugin().Source(connectortest.Decode("brokers: [h1, 'h2:9093']\n", "topics: 'a, b'\nstart: 24h\n"), connectors.About{Route: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kafka group sluice-orders on topic a", "kafka group sluice-orders on topic b"}
	if diff := cmp.Diff(want, spec.Claims); diff != "" || !spec.Remote {
		t.Error(diff)
	}
}

func TestStart(t *testing.T) {
	at := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]Start{
		"earliest": {}, "latest": {Kind: StartLatest}, "24h": {Kind: StartAgo, Ago: 24 * time.Hour},
		"1042": {Kind: StartOffset, Offset: 1042}, "0": {Kind: StartOffset}, "2026-01-31T08:00:00Z": {Kind: StartTime, Time: at},
	} {
		var got, again Start
		if err := got.UnmarshalText([]byte(text)); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s = %+v, %v", text, got, err)
		}
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%s does not survive: %s", text, got)
		}
	}
	for _, text := range []string{"", "first", "-1", "-5m", "2026-01-31"} {
		if err := new(Start).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// A password shows nowhere.
func TestSecret(t *testing.T) {
	c := defaultConnection()
	c.Password = "hunter2"
	j, err := json.Marshal(c)
	if text := fmt.Sprintf("%v %+v %#v %s %s", c, c, c, c.Password, j); err != nil || strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

func TestURL(t *testing.T) {
	for text, want := range map[string]map[string]any{
		"kafka://localhost:9092/orders": {"brokers": []any{"localhost:9092"}, "topics": "orders"},
		"kafka://u@h1/orders?group=g&start=latest": {
			"brokers": []any{"h1"}, "username": "u", "topics": "orders", "group": "g", "start": "latest",
		},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fromURL(u, connectors.SourceEnd)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	// net/url refuses several ports, so whoever reads a command line splits hosts off itself.
	got, err := fromURL(&url.URL{Scheme: "kafka", Host: "h1:9092,h2:9093", Path: "/t"}, connectors.SinkEnd)
	if diff := cmp.Diff(map[string]any{"brokers": []any{"h1:9092", "h2:9093"}, "topic": "t"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, text := range []string{"kafka:///t", "kafka://h", "kafka://h/", "kafka://h/a/b", "kafka://u:secret@h/t", "kafka://h/t?username=u&password=secret", "kafka://h/t?topics=x", "kafka://h/t?group=a&group=b"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fromURL(u, connectors.SourceEnd); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
