package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-bridge/sluice/connectors"
)

// Nothing allocates per message: a Write of ten times the messages allocates what one of a tenth does.
func TestSinkAllocates(t *testing.T) {
	cluster := newCluster(t, kfake.SeedTopics(4, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	writeAll(t, s, "a", 0, 10, 10)
	batches := []*connectors.Batch{batchOf("b", 0, keyed("b", 0, 2000)...)}
	w := s.writes.Get().(*write)
	r := s.producer.request.Get().(*request)
	allocs := testing.AllocsPerRun(20, func() {
		if err := s.route(t.Context(), w, batches); err != nil {
			t.Fatal(err)
		}
		for i := range w.parts {
			p := &w.parts[i]
			p.seal(1 << 20)
			r.parts = append(r.parts, p)
		}
		if err := s.producer.encode(r); err != nil {
			t.Fatal(err)
		}
		r.reset()
		w.reset()
	})
	if allocs > 10 {
		t.Errorf("%v allocations for 2000 messages", allocs)
	}
}

// A wrong password is a state that names itself and the way out.
func TestSinkWrongPassword(t *testing.T) {
	cluster := newCluster(t, kfake.SeedTopics(1, "t"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right"))
	open := func(password connectors.Secret) (*sink, interface {
		Events() []connectors.Event
	}) {
		return openTestSink(t, cluster.ListenAddrs(), "t", func(c *SinkConfig, _ *connectors.Env) { c.Username, c.Password = "u", password })
	}
	wrong, _ := open("hunter2")
	err := wrong.Write(testContext(t), []*connectors.Batch{batchOf("a", 0, keyed("a", 0, 1)...)})
	if err == nil || connectors.IsPermanent(err) || !strings.Contains(err.Error(), "username and password") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err = %v", err)
	}
	right, _ := open("right")
	writeAll(t, right, "a", 0, 10, 10)
}

func BenchmarkSink(b *testing.B) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "t"), kfake.BlackholeProduce())
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, err := openSink(SinkConfig{
				Connection: Connection{Brokers: cluster.ListenAddrs(), DialTimeout: connectors.Duration(time.Minute)}, Topic: "t",
				Partitioner: "murmur2", Compression: "none", MaxMessage: 1 << 20,
			}, connectors.Env{Headers: true, Window: connectors.Room{Messages: 8192}})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(b.Context())
			messages := keyed("b", 0, 1000)
			for i := range messages {
				messages[i].Value = make([]byte, size)
			}
			batches := []*connectors.Batch{batchOf("b", 0, messages...)}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Write(b.Context(), batches); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(messages)), "ns/msg")
		})
	}
}
