package nats

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// examined is a server with what an examination looks at.
type examined struct {
	testing.TB
	url string
	js  jetstream.JetStream
}

func newExamined(t testing.TB, change func(*server.Options), url func(string) string) *examined {
	t.Helper()
	s := startServer(t, change)
	x := &examined{TB: t, url: s.ClientURL()}
	if url != nil {
		x.url = url(x.url)
	}
	nc, err := nats.Connect(x.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if x.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return x
}

// stream creates stream S for s.>.
func (x *examined) stream(change func(*jetstream.StreamConfig)) {
	x.Helper()
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowBatchPublish: true}
	if change != nil {
		change(&cfg)
	}
	const noStore = 10049 // the server still removes the files of the stream of this name that was deleted
	for {
		var refused *jetstream.APIError
		_, err := x.js.CreateOrUpdateStream(x.Context(), cfg)
		if err == nil {
			return
		}
		if !errors.As(err, &refused) || refused.ErrorCode != noStore {
			x.Fatal(err)
		}
		wait(x.Context(), 10*time.Millisecond)
	}
}

func (x *examined) durable(cfg jetstream.ConsumerConfig) {
	x.Helper()
	cfg.Durable = "sluice-test"
	if _, err := x.js.CreateConsumer(x.Context(), "S", cfg); err != nil {
		x.Fatal(err)
	}
}

func (x *examined) source(more string) map[string][]connectors.Finding {
	x.Helper()
	spec := connectortest.SourceSpec(x, JetStream(), fmt.Sprintf("servers: %q\nstream: S\ndurable: sluice-test\n%s", x.url, more))
	e, err := spec.Examine(connectors.Env{Route: "test", Window: connectors.Room{Messages: 1000}})
	return connectortest.Examine(x, e, err)
}

func (x *examined) sink(more string, topics ...string) map[string][]connectors.Finding {
	x.Helper()
	spec := connectortest.SinkSpec(x, JetStream(), fmt.Sprintf("servers: %q\nstream: S\n%s", x.url, more))
	e, err := spec.Examine(connectors.Env{Route: "test"}, topics)
	return connectortest.Examine(x, e, err)
}

// bad wants one code, with a word in its way out, and nothing else; an empty code: nothing.
func (x *examined) bad(found map[string][]connectors.Finding, code string, level connectors.Level, way string) {
	x.Helper()
	want := map[string]connectors.Level{}
	if code != "" {
		want[code] = level
	}
	if diff := cmp.Diff(want, connectortest.Bad(found)); diff != "" {
		x.Fatalf("%s\nof %+v", diff, found)
	}
	if code != "" && !strings.Contains(found[code][0].Way, way) {
		x.Errorf("%s: %s → %s, want %q in the way out", code, found[code][0].Text, found[code][0].Way, way)
	}
}

func TestExamineSink(t *testing.T) {
	t.Parallel()
	x := newExamined(t, nil, nil)
	at := "nats --server " + strings.TrimPrefix(x.url, "nats://") + " "
	x.bad(x.sink("subject: s.a"), "jetstream.stream", connectors.Failed, at+"stream add S --subjects=s.a --storage=file --defaults")
	x.stream(nil)
	found := x.sink("subject: s.{{ key }}")
	x.bad(found, "", 0, "")
	if len(found) != 10 {
		t.Errorf("%d checks were asked: %+v", len(found), found)
	}
	x.bad(x.sink("", "s.orders"), "", 0, "")
	x.bad(x.sink("", "orders"), "jetstream.subject", connectors.Failed, at+"stream edit S --subjects='s.>,orders' --force")
	x.bad(x.sink("subject: x.{{ key }}"), "jetstream.subject", connectors.Failed, "--subjects='s.>,x.*'")
	x.bad(x.sink("subject: \"{{ key }}.a\""), "jetstream.subject", connectors.Warning, "--subjects='s.>,*.a'")
	x.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish = false })
	found = x.sink("subject: s.a")
	x.bad(found, "", 0, "")
	if f := found["jetstream.speed"][0]; f.Way != at+"stream edit S --allow-fast --force" {
		t.Errorf("what could be faster: %+v", f)
	}
}

// A server's URL may hold a token, which no check names and no command shows.
func TestExamineShowsNoToken(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.Authorization = "CANARY-token" })
	for _, token := range []string{"CANARY-token", "CANARY-wrong"} {
		spec := connectortest.SourceSpec(t, JetStream(), fmt.Sprintf("servers: %q\nstream: S\ndurable: d", strings.Replace(s.ClientURL(), "//", "//"+token+"@", 1)))
		e, err := spec.Examine(connectors.Env{Route: "test"})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range e.Checks {
			if strings.Contains(c.About, "CANARY") {
				t.Errorf("%s is about %s", c.Code, c.About)
			}
		}
		found := connectortest.Examine(t, e, nil)
		if text := fmt.Sprint(found); len(connectortest.Bad(found)) == 0 || strings.Contains(text, "CANARY") {
			t.Error(text)
		}
	}
}

// The stream's own bound on a message counts where it is below the server's.
func TestExamineLargest(t *testing.T) {
	t.Parallel()
	x := newExamined(t, func(o *server.Options) { o.MaxPayload = 100_000 }, nil)
	for most, want := range map[int32]connectors.Limit{
		-1:        {Bytes: 100_000, Name: "max_payload of the server"},
		50_000:    {Bytes: 50_000, Name: "max_msg_size of stream S"},
		1_000_000: {Bytes: 100_000, Name: "max_payload of the server"},
	} {
		x.stream(func(c *jetstream.StreamConfig) { c.MaxMsgSize = most })
		spec := connectortest.SinkSpec(t, JetStream(), fmt.Sprintf("servers: %q\nstream: S\nsubject: s.a", x.url))
		e, err := spec.Examine(connectors.Env{Route: "test"}, nil)
		connectortest.Examine(t, e, err)
		got, ok := e.Largest()
		if !ok || got.Bytes != want.Bytes || got.Name != want.Name {
			t.Errorf("max_msg_size %d: %+v, want %+v", most, got, want)
		}
		if way := got.Change(200_000); most == 50_000 && (!strings.Contains(way, "stream edit S --max-msg-size=200000 --force") || !strings.Contains(way, "max_payload: 200000")) {
			t.Error(way)
		}
	}
}

func TestExamineUnsafeStream(t *testing.T) {
	t.Parallel()
	x := newExamined(t, nil, nil)
	for name, of := range map[string]struct {
		change func(*jetstream.StreamConfig)
		code   string
		level  connectors.Level
		way    string
		source bool
	}{
		"discards": {func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, "jetstream.stream", connectors.Failed, "stream edit S --discard=new --force", false},
		"no ack":   {func(c *jetstream.StreamConfig) { c.NoAck, c.AllowBatchPublish = true, false }, "jetstream.stream", connectors.Failed, "stream edit S", false},
		"async": {func(c *jetstream.StreamConfig) {
			c.PersistMode = jetstream.AsyncPersistMode
			c.AllowBatchPublish = false
		}, "jetstream.settings", connectors.Warning, "default --persist-mode", false},
		"nearly full":   {func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew }, "jetstream.settings", connectors.Warning, "stream info S", false},
		"nobody waits":  {func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "jetstream.settings", connectors.Warning, "consumer add S NAME --pull", false},
		"short":         {func(c *jetstream.StreamConfig) { c.MaxAge = time.Minute; c.Duplicates = time.Minute }, "jetstream.settings", connectors.Warning, "--max-age=7d", true},
		"nobody yet":    {func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "jetstream.consumer", connectors.Warning, "consumer add S sluice-test --pull --ack=all", true},
		"consumer caps": {func(c *jetstream.StreamConfig) { c.ConsumerLimits.MaxAckPending = 600 }, "jetstream.window", connectors.Failed, "max_messages: 100}", true},
	} {
		x.stream(of.change)
		if name == "nearly full" {
			if _, err := x.js.Publish(t.Context(), "s.a", nil); err != nil {
				t.Fatal(err)
			}
		}
		if of.source {
			x.bad(x.source(""), of.code, of.level, of.way)
		} else {
			x.bad(x.sink("subject: s.a"), of.code, of.level, of.way)
		}
		if err := x.js.DeleteStream(t.Context(), "S"); err != nil {
			t.Fatal(name, err)
		}
	}
}

func TestExamineSource(t *testing.T) {
	t.Parallel()
	x := newExamined(t, nil, nil)
	x.bad(x.source(""), "jetstream.stream", connectors.Failed, "stream add S --subjects='s.>'")
	x.stream(nil)
	x.bad(x.source(""), "", 0, "")
	if _, err := x.js.Consumer(t.Context(), "S", "sluice-test"); err == nil {
		t.Error("the durable was made")
	}
	x.bad(x.source("consumer: {create: false}"), "jetstream.consumer", connectors.Failed, "consumer add S sluice-test --pull --ack=all --deliver=all --wait=10m0s --max-deliver=-1 --max-pending=6000 --defaults")
	for name, of := range map[string]struct {
		cfg   jetstream.ConsumerConfig
		more  string
		code  string
		level connectors.Level
		way   string
	}{
		"push":          {jetstream.ConsumerConfig{DeliverSubject: "d", AckPolicy: jetstream.AckAllPolicy}, "", "jetstream.consumer", connectors.Failed, "durable: sluice-test-2"},
		"gives up":      {jetstream.ConsumerConfig{MaxDeliver: 3, AckPolicy: jetstream.AckAllPolicy}, "", "jetstream.consumer", connectors.Failed, "consumer edit S sluice-test --max-deliver=-1 --force"},
		"small":         {jetstream.ConsumerConfig{MaxAckPending: 100, AckPolicy: jetstream.AckAllPolicy}, "consumer: {create: false}", "jetstream.window", connectors.Warning, "consumer edit S sluice-test --max-pending=6000 --force"},
		"small, raised": {jetstream.ConsumerConfig{MaxAckPending: 100, AckPolicy: jetstream.AckAllPolicy}, "", "", 0, ""},
		"enough":        {jetstream.ConsumerConfig{MaxAckPending: 1000, AckPolicy: jetstream.AckAllPolicy}, "consumer: {create: false}", "", 0, ""},
	} {
		if of.cfg.DeliverSubject != "" {
			if _, err := x.js.CreatePushConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "sluice-test", DeliverSubject: "d", AckPolicy: jetstream.AckAllPolicy}); err != nil {
				t.Fatal(err)
			}
		} else {
			x.durable(of.cfg)
		}
		x.bad(x.source(of.more), of.code, of.level, of.way)
		if err := x.js.DeleteConsumer(t.Context(), "S", "sluice-test"); err != nil {
			t.Fatal(name, err)
		}
	}
}

func TestExamineLogin(t *testing.T) {
	t.Parallel()
	may := func(publish ...string) *server.Permissions {
		return &server.Permissions{Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}}}
	}
	x := newExamined(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "p"},
			{Username: "api", Password: "p", Permissions: may("$JS.API.>", "$SYS.REQ.USER.INFO")},
			{Username: "unseeing", Password: "p", Permissions: may("$JS.API.INFO")},
		}
	}, func(url string) string { return strings.Replace(url, "nats://", "nats://admin:p@", 1) })
	x.stream(nil)
	as := func(user, password string) *examined {
		y := *x
		y.url = strings.Replace(x.url, "admin:p@", user+":"+password+"@", 1)
		return &y
	}
	x.bad(x.sink("subject: s.a"), "", 0, "")
	x.bad(as("admin", "q").sink("subject: s.a"), "nats.login", connectors.Failed, "--user admin --password ... account info")
	x.bad(as("api", "p").sink("subject: s.a"), "nats.permission", connectors.Failed, "nsc edit user api --allow-pub s.a")
	x.bad(as("api", "p").source(""), "nats.permission", connectors.Failed, "nsc edit user api --allow-pub '$JS.ACK.S.sluice-test.>'")
	x.bad(as("unseeing", "p").sink("subject: s.a"), "jetstream.stream", connectors.Failed, `"$JS.API.STREAM.INFO.S"`)
}

// What listens is no nats-server.
func TestExamineAnotherServer(t *testing.T) {
	t.Parallel()
	x := &examined{TB: t, url: "nats://" + connectortest.NoBroker(t)}
	x.bad(x.sink("subject: s.a"), "nats.login", connectors.Failed, "server check connection")
}

func TestExamineWithoutJetStream(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.JetStream = false })
	x := &examined{TB: t, url: s.ClientURL()}
	x.bad(x.sink("subject: s.a"), "jetstream.enabled", connectors.Failed, "jetstream: {store_dir:")
	core := connectortest.SinkSpec(t, Core(), fmt.Sprintf("servers: %q\nsubject: a", x.url))
	e, err := core.Examine(connectors.Env{Route: "test"}, nil)
	x.bad(connectortest.Examine(t, e, err), "", 0, "")
	if l, ok := e.Largest(); !ok || l.Bytes != 1<<20 || l.Change(5) != "in nats-server.conf: max_payload: 5; then: nats-server --signal reload" {
		t.Errorf("%+v", l)
	}
	from := connectortest.SourceSpec(t, Core(), fmt.Sprintf("servers: %q\nsubjects: a.>", x.url))
	e, err = from.Examine(connectors.Env{Route: "test"})
	x.bad(connectortest.Examine(t, e, err), "", 0, "")
}

// What is said to cover a pattern lets through each subject of it; what meets none of it lets through none.
func TestPatterns(t *testing.T) {
	token := rapid.SampledFrom([]string{"a", "b", "*"})
	pattern := rapid.Custom(func(t *rapid.T) string {
		tokens := rapid.SliceOfN(token, 1, 3).Draw(t, "tokens")
		if rapid.Bool().Draw(t, "many") {
			tokens = append(tokens, ">")
		}
		return strings.Join(tokens, ".")
	})
	literal := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		filters, p := rapid.SliceOfN(pattern, 1, 3).Draw(t, "filters"), pattern.Draw(t, "pattern")
		var tokens []string // of a subject that the pattern stands for
		for _, token := range strings.Split(p, ".") {
			switch token {
			case "*":
				tokens = append(tokens, literal.Draw(t, "token"))
			case ">":
				tokens = append(tokens, rapid.SliceOfN(literal, 1, 4).Draw(t, "tokens")...)
			default:
				tokens = append(tokens, token)
			}
		}
		s := strings.Join(tokens, ".")
		switch {
		case covers(filters, p) && !captures(filters, s):
			t.Fatalf("%v covers %s, and not %s", filters, p, s)
		case !meets(filters, p) && captures(filters, s):
			t.Fatalf("%v meets nothing of %s, but %s", filters, p, s)
		}
	})
	for text, want := range map[string]string{"a.b": "a.b", "a.x-*": "a.*", "a.>": "a.>", "a.>.b": "a.*.b", "pre->": ">", "*": "*"} {
		if got := tidy(text); got != want {
			t.Errorf("tidy(%q) is %q, want %q", text, got, want)
		}
	}
}
