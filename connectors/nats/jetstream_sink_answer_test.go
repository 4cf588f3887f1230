package nats

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// What a server says of a stored message is read without a JSON decoder, with a domain and without.
func TestQuickAckOfAServer(t *testing.T) {
	for _, domain := range []string{"", "hub"} {
		s := startServer(t, func(o *server.Options) { o.JetStreamDomain = domain })
		st := newSinkTest(t, s.ClientURL(), nil)
		conn := client(t, s.ClientURL())
		for want := uint64(1); want <= 12; want++ {
			m, err := conn.Request("orders.x", []byte("v"), 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			f := &flight{stream: st.stream.Name}
			if seq, ok := f.quickAck(m.Data); !ok || seq != want {
				t.Fatalf("domain %q: %s: %d, %v, want %d", domain, m.Data, seq, ok, want)
			}
		}
	}
}

func TestQuickAckLeavesTheRest(t *testing.T) {
	f := &flight{stream: "S"}
	for _, data := range []string{
		``, `{`, `{"stream":"S"`, `{"stream":"S","seq":}`, `{"stream":"S","seq":1`, `{"stream":"S","seq":-1}`, `{"stream":"S","seq":1,"duplicate":true}`,
		`{"stream":"T","seq":1}`, `{"stream":"SS","seq":1}`, `{"stream":"","seq":1}`, `{"error":{"code":503},"stream":"S","seq":0}`,
		`{"stream":"S","domain":"d}`, `{"stream":"S","domain":"d","seq":1e3}`, `{"stream":"S","seq":123456789012345678901}`,
	} {
		if seq, ok := f.quickAck([]byte(data)); ok {
			t.Errorf("%s: read as %d", data, seq)
		}
	}
}

// FuzzQuickAck: what is read quickly is what a JSON decoder reads.
func FuzzQuickAck(f *testing.F) {
	f.Add([]byte(`{"stream":"S","seq":1}`))
	f.Add([]byte(`{"stream":"S","domain":"hub","seq":18446744073709551615}`))
	f.Add([]byte(`{"stream":"S","domain":"a\"b","seq":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		seq, ok := (&flight{stream: "S"}).quickAck(data)
		if !ok {
			return
		}
		var a pubAck
		if err := json.Unmarshal(data, &a); err != nil {
			return // a domain of nonsense, in which nobody is interested
		}
		if a.Seq != seq || a.Stream != "S" || a.Error != nil {
			t.Fatalf("%s: read as %d, is %+v", data, seq, a)
		}
	})
}

// A frozen server answers at once all that it was asked meanwhile, perhaps before it stores what was sent
// before: that tells one thing about a flight, not several.
func TestProbesOfAFreezeTellOneThing(t *testing.T) {
	sess := &session{stream: &sinkStream{Created: time.Unix(1, 0).UTC()}}
	f := newFlight("t", "S", sess, 1, 0, 0)
	f.order = &sendOrder{}
	state := []byte(`{"config":{},"created":"1970-01-01T00:00:01Z","state":{"last_seq":7}}`)
	answer := func(probe string) { f.answerOne(probe, "", state) }
	f.probes = 4
	for _, probe := range []string{"p1", "p2", "p3", "p4"} {
		answer(probe)
	}
	if f.over() {
		t.Error("given up by probes of one freeze")
	}
	f.probes = 5
	answer("p5")
	if f.over() {
		t.Error("given up after one probe that found nothing moving")
	}
	f.probes = 6
	if answer("p6"); !f.over() {
		t.Error("not given up after two probes, sent one after the answer to the other, that found nothing moving")
	}
}

func TestUsualAnswerAllocatesNothing(t *testing.T) {
	f := newFlight("t", "S", &session{stream: &sinkStream{}}, 1000, 0, 0)
	f.order = &sendOrder{}
	data, i := []byte(`{"stream":"S","seq":7}`), 0
	numbers := make([]string, 1000)
	for n := range numbers {
		numbers[n] = strconv.Itoa(n)
	}
	if n := testing.AllocsPerRun(900, func() { f.answerOne(numbers[i], "", data); i++ }); n != 0 {
		t.Errorf("%v allocations an answer", n)
	}
	if f.answers != i {
		t.Errorf("%d of %d answers count", f.answers, i)
	}
}
