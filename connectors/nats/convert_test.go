package nats

import (
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

// hostileNames are header names that a NATS server, a NATS client or Sluice itself would act upon,
// and names that none of them takes.
var hostileNames = []string{
	"", " ", "a b", "a:b", ":", "a\r\nb", "Nats-Rollup", "nats-msg-id", "Nats-Msg-Id", "Nats-Expected-Stream",
	"Nats-Expected-Last-Sequence", "Nats-TTL", "Nats-Batch-Id", "Nats-Schedule", "Nats-Incr", "Status", "status",
	"Description", "Sluice-Key", "Sluice-Null", "Sluice-Time", "Sluice-Headers", "sluice-origin", "traceparent",
	"tracestate", "content-type", "é", "\xff\xfe", "NATS/1.0", "x", "X",
}

var hostileValues = []string{
	"", " ", "all", "1", " lead", "trail ", "\ttab\t", "a\r\nNats-Rollup: all", "\n", "\r", "\x00", "base64:", "base64:!!",
	"503", "never", "é", "\u00a0nbsp\u00a0", "\u2003", "\xff\xfe", "\r\n\r\nPUB evil 0\r\n\r\n",
}

func genBytes(values ...string) *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.Just([]byte(nil)),
		rapid.Map(rapid.SampledFrom(values), func(s string) []byte { return []byte(s) }),
		rapid.SliceOfN(rapid.Byte(), 0, 40),
		rapid.Map(rapid.StringMatching(`[a-z0-9-]{1,12}`), func(s string) []byte { return []byte(s) }),
	)
}

func genMessage() *rapid.Generator[connectors.Message] {
	name := rapid.OneOf(rapid.SampledFrom(hostileNames), rapid.String(), rapid.StringMatching(`[a-z]{1,6}`))
	header := rapid.Custom(func(t *rapid.T) connectors.Header {
		return connectors.Header{Key: name.Draw(t, "name"), Value: genBytes(hostileValues...).Draw(t, "header value")}
	})
	// Headers that all are harmless: only their order can make a difference.
	plain := rapid.Custom(func(t *rapid.T) connectors.Header {
		return connectors.Header{
			Key:   rapid.SampledFrom([]string{"a", "b", "B", "traceparent"}).Draw(t, "name"),
			Value: []byte(rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "header value")),
		}
	})
	return rapid.Custom(func(t *rapid.T) connectors.Message {
		header := header
		if rapid.Bool().Draw(t, "harmless") {
			header = plain
		}
		ms := rapid.OneOf(rapid.Int64Range(0, 4e12), rapid.Int64Range(-1e12, 1e15), rapid.Just(int64(math.MaxInt64/2))).Draw(t, "time")
		m := connectors.Message{
			Subject: "orders",
			Key:     genBytes(hostileValues...).Draw(t, "key"),
			Value:   genBytes(hostileValues...).Draw(t, "value"),
			Headers: rapid.SliceOfN(header, 0, 6).Draw(t, "headers"),
			Time:    time.UnixMilli(ms).UTC(),
			Offset:  rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset"),
		}
		if len(m.Headers) == 0 {
			m.Headers = nil
		}
		return m
	})
}

var testBatch = &connectors.Batch{Partition: "orders/3", Origin: "kafka:c1/orders/3"}

// withOrigin is what comes back for m: itself and where it was read.
func withOrigin(m connectors.Message) connectors.Message {
	m.Headers = append(append([]connectors.Header(nil), m.Headers...), connectors.Header{
		Key: headerOrigin, Value: fmt.Appendf(nil, "kafka:c1/orders/3/%d;hops=1", m.Offset),
	})
	return m
}

// read makes the message that a NATS source returns for what NATS stored.
func read(m connectors.Message, block, payload []byte, t interface{ Fatalf(string, ...any) }) connectors.Message {
	h, err := nats.DecodeHeadersMsg(block)
	if err != nil {
		t.Fatalf("nats.go cannot read the block %q: %v", block, err)
	}
	back := connectors.Message{Subject: m.Subject, Value: append([]byte{}, payload...), Offset: m.Offset, Time: time.Unix(1, 0).UTC()}
	restore(&back, h)
	return back
}

func TestMessageComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage().Draw(t, "message")
		e := headerEncoder{add: true}
		block, err := e.append(nil, testBatch, &m)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(withOrigin(m), read(m, block, m.Value, t)); diff != "" {
			t.Fatalf("block %q (-want +got):\n%s", block, diff)
		}
	})
}

// A block is what a server parses as protocol: exactly its lines, each of a name that means nothing
// to NATS.
func TestBlockHoldsHarmlessLinesOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage().Draw(t, "message")
		e := headerEncoder{add: rapid.Bool().Draw(t, "add")}
		block, err := e.append([]byte("before"), testBatch, &m)
		if err != nil {
			if !connectors.IsPermanent(err) {
				t.Fatalf("not permanent: %v", err)
			}
			return
		}
		text, ok := strings.CutPrefix(string(block), "before")
		if !ok {
			t.Fatal("dst was changed")
		}
		if text == "" {
			return
		}
		text, ok = strings.CutPrefix(text, headerLine)
		text, end := strings.CutSuffix(text, "\r\n\r\n")
		if !ok || !end {
			t.Fatalf("not a block: %q", block)
		}
		for line := range strings.SplitSeq(text, "\r\n") {
			name, value, found := strings.Cut(line, ": ")
			own := strings.HasPrefix(name, "Sluice-")
			if !found || !own && !plainName(name) || !plainValue([]byte(value)) {
				t.Fatalf("line %q", line)
			}
		}
	})
}

func TestRestoreTakesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := nats.Header{}
		for range rapid.IntRange(0, 5).Draw(t, "headers") {
			name := rapid.SampledFrom([]string{headerKey, headerTime, headerNull, headerHeaders, headerOrigin, "x"}).Draw(t, "name")
			h[name] = append(h[name], string(genBytes("base64:AA", "@1.5", "@x", "1", "AWEA", "AQ", "/////w8").Draw(t, "value")))
		}
		m := connectors.Message{Value: []byte{}}
		restore(&m, h)
	})
}

func TestHopsAreCounted(t *testing.T) {
	e := headerEncoder{add: true}
	m := connectors.Message{Value: []byte("v"), Offset: 7}
	for hop := 1; hop <= connectors.DefaultMaxHops; hop++ {
		block, err := e.append(nil, testBatch, &m)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("kafka:c1/orders/3/7;hops=%d", hop)
		if !strings.Contains(string(block), want) {
			t.Fatalf("no %q in %q", want, block)
		}
		m.Headers = []connectors.Header{{Key: headerOrigin, Value: []byte(want)}}
	}
	if _, err := e.append(nil, testBatch, &m); !connectors.IsPermanent(err) || !strings.Contains(err.Error(), "loop") {
		t.Fatalf("after %d hops: %v", connectors.DefaultMaxHops, err)
	}
}

func TestHeadersThatDoNotFit(t *testing.T) {
	e := headerEncoder{add: true, limit: math.MaxUint16}
	big := strings.Repeat("v", 40_000)
	m := connectors.Message{Value: []byte("v"), Headers: []connectors.Header{{Key: "z", Value: []byte(big)}, {Key: "a", Value: []byte("1")}}}
	block, err := e.append(nil, testBatch, &m)
	if err != nil || len(block) > math.MaxUint16 || strings.Contains(string(block), "\nz: ") {
		t.Fatalf("the readable copies had to go: %d bytes, %v", len(block), err)
	}
	m.Headers = append(m.Headers, m.Headers...)
	if _, err = e.append(nil, testBatch, &m); !connectors.IsPermanent(err) {
		t.Fatalf("err = %v", err)
	}
}

func TestTraceContextPassesAsItIs(t *testing.T) {
	e := headerEncoder{}
	m := connectors.Message{Headers: []connectors.Header{
		{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
		{Key: "tracestate", Value: []byte("a=1")},
	}}
	block, err := e.append(nil, testBatch, &m)
	want := "NATS/1.0\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: a=1\r\n\r\n"
	if err != nil || string(block) != want {
		t.Fatalf("%q, %v", block, err)
	}
}

func TestHeadersNone(t *testing.T) {
	e := headerEncoder{}
	for _, name := range []string{"Nats-Rollup", "Status", "Sluice-Key", "a b", ""} {
		m := connectors.Message{Headers: []connectors.Header{{Key: name, Value: []byte("x")}}}
		if _, err := e.append(nil, testBatch, &m); !connectors.IsPermanent(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if block, err := e.append(nil, testBatch, &connectors.Message{Key: []byte("k")}); len(block) > 0 || err != nil {
		t.Errorf("%q, %v", block, err)
	}
}

func TestEncoderAllocatesNothing(t *testing.T) {
	e := headerEncoder{add: true}
	m := connectors.Message{
		Key: []byte("customer-4711"), Value: []byte("v"), Time: time.UnixMilli(1764000000123), Offset: 12345,
		Headers: []connectors.Header{{Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte("1\n")}},
	}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf, _ = e.append(buf[:0], testBatch, &m) }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// The same through a real server and its client, for both have rules of their own.
func TestMessageComesBackThroughServer(t *testing.T) {
	s := startServer(t, nil)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{
		Name: "T", Subjects: []string{"orders"}, Storage: nats.MemoryStorage, AllowRollup: true, AllowMsgTTL: true,
	}); err != nil {
		t.Fatal(err)
	}
	sub, err := js.PullSubscribe("orders", "d", nats.AckNone())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	fmt.Fprintf(raw, "CONNECT {\"verbose\":false,\"headers\":true,\"protocol\":1}\r\n")

	e := headerEncoder{add: true}
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage().Draw(t, "message")
		block, err := e.append(nil, testBatch, &m)
		if err != nil {
			t.Fatal(err)
		}
		frame := fmt.Appendf(nil, "HPUB orders %d %d\r\n%s%s\r\n", len(block), len(block)+len(m.Value), block, m.Value)
		if _, err := raw.Write(frame); err != nil {
			t.Fatal(err)
		}
		got, err := sub.Fetch(1, nats.MaxWait(5*time.Second))
		if err != nil || len(got) != 1 {
			t.Fatalf("nothing came of %q: %v", frame, err)
		}
		back := connectors.Message{Subject: m.Subject, Value: append([]byte{}, got[0].Data...), Offset: m.Offset}
		restore(&back, got[0].Header)
		if diff := cmp.Diff(withOrigin(m), back); diff != "" {
			t.Fatalf("block %q (-want +got):\n%s", block, diff)
		}
	})
	info, err := js.StreamInfo("T")
	if err != nil || info.State.FirstSeq != 1 {
		t.Fatalf("a header was obeyed: %+v, %v", info, err)
	}
}

// The text of a time does not depend on the message before.
func TestTimesOfOneEncoder(t *testing.T) {
	e := &headerEncoder{add: true}
	second := rapid.Int64Range(1_700_000_000, 1_700_000_002)
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(second.Draw(t, "second"), rapid.OneOf(rapid.Int64Range(0, 999_999_999), rapid.Just(int64(120_000_000)), rapid.Just(int64(0))).Draw(t, "nano"))
		if rapid.Bool().Draw(t, "far") {
			at = at.AddDate(rapid.IntRange(-2000, 8100).Draw(t, "years"), 0, 0)
		}
		if got, want := string(e.appendTime(nil, at)), at.UTC().Format(time.RFC3339Nano); at.UTC().Year() <= 9999 && got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
