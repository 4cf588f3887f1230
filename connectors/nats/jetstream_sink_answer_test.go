package nats

import (
	"encoding/json"
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
