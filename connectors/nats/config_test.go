package nats

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestURL(t *testing.T) {
	section := func(more ...any) map[string]any {
		m := map[string]any{"servers": []any{"nats://host:4222"}}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	for _, tc := range []struct {
		text string
		end  connectors.End
		want map[string]any
		err  string
	}{
		{"jetstream://host:4222/ORDERS", connectors.SourceEnd, section("stream", "ORDERS"), ""},
		{"jetstream://u:p@host:4222/ORDERS/orders.>?durable=d&start=24h&shared=true", connectors.SourceEnd,
			section("stream", "ORDERS", "user", "u", "password", "p", "subjects", []any{"orders.>"}, "durable", "d", "start", "24h", "shared", "true"), ""},
		{"jetstream://host:4222/ORDERS/orders.new?mode=fast", connectors.SinkEnd, section("stream", "ORDERS", "subject", "orders.new", "mode", "fast"), ""},
		{"jetstream://host:4222", connectors.SourceEnd, nil, "stream is missing"},
		{"jetstream:///ORDERS", connectors.SourceEnd, nil, "host is missing"},
		{"jetstream://host:4222/ORDERS?durabel=d", connectors.SourceEnd, nil, "?durabel= is unknown; the parameters are durable, start, shared"},
		{"jetstream://host:4222/ORDERS?durable=d", connectors.SinkEnd, nil, "?durable= is unknown"},
		{"jetstream://host:4222/ORDERS?durable=d&durable=e", connectors.SourceEnd, nil, "2 times"},
	} {
		checkURL(t, JetStream(), tc.text, tc.end, tc.want, tc.err)
	}
	checkURL(t, Core(), "nats://host:4222/a.b?queue=q&ack_mode=reply", connectors.SourceEnd, section("subjects", []any{"a.b"}, "queue", "q", "ack_mode", "reply"), "")
	checkURL(t, Core(), "nats://host:4222/a.b", connectors.SinkEnd, section("subject", "a.b"), "")
	checkURL(t, Core(), "nats://host:4222", connectors.SourceEnd, nil, "subject is missing")
}

func checkURL(t *testing.T, p connectors.Plugin, text string, end connectors.End, want map[string]any, fault string) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.URL(u, end)
	if fault != "" {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v, want %q", text, err, fault)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", text, diff)
	}
}

// TestValidate: every fault is told at once, each at its key.
func TestValidate(t *testing.T) {
	c := jetStreamSourceDefaults(connectors.About{Route: "r"})
	c.Servers = connectors.List{"ws://host", "host:99999", "nats://u:secret@/"}
	c.Password = "secret"
	c.Stream, c.Durable = "", "a.b"
	c.Subjects = connectors.List{"a..b", "ok.>", "ok.>"}
	c.Start, c.AckWait = "yesterday", connectors.Duration(time.Millisecond)
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, path := range []string{"servers: scheme", "servers: \"nats://host:99999\"", "password: has no user", "stream: is required",
		"durable: \"a.b\"", "subjects: \"a..b\"", "subjects: \"ok.>\" stands there twice", "start: \"yesterday\"", "ack_wait: 1ms"} {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%q is missing in\n%v", path, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is shown: %v", err)
	}
	var field *connectors.FieldError
	if !errors.As(err, &field) {
		t.Error("no FieldError")
	}
}

func TestSecretIsNotShown(t *testing.T) {
	c := Connection{User: "u", Password: "hunter2"}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(form, c); strings.Contains(text, "hunter2") {
			t.Errorf("%s shows %s", form, text)
		}
	}
}

func TestStart(t *testing.T) {
	for text, want := range map[string]start{
		"earliest": {earliest: true}, "latest": {}, "17": {sequence: 17}, "24h": {ago: 24 * time.Hour},
		"2026-01-02T15:04:05Z": {time: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)},
	} {
		if got, err := parseStart(text); err != nil || !got.time.Equal(want.time) || got.earliest != want.earliest || got.sequence != want.sequence || got.ago != want.ago {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "-5m", "newest", "2026-01-02", "18446744073709551615"} {
		if got, err := parseStart(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestClaims(t *testing.T) {
	decode := func(into any) error {
		c := into.(*JetStreamSourceConfig)
		c.Servers, c.Stream = connectors.List{"localhost"}, "S"
		return nil
	}
	spec, err := JetStream().Source(decode, connectors.About{Route: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"jetstream durable sluice-orders on stream S"}, spec.Claims); diff != "" {
		t.Error(diff)
	}
	if !spec.Remote || spec.Facts.Guarantee == "" || len(spec.Facts.Touches) != 1 {
		t.Errorf("spec %+v", spec)
	}
}
