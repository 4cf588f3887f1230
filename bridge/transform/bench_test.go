package transform

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// stream is messages whose keys and headers differ, as those of a topic do.
func stream(n int) *connectors.Batch {
	b := &connectors.Batch{Partition: "orders/3", Origin: "kafka:c/orders/3"}
	for i := range n {
		b.Messages = append(b.Messages, connectors.Message{
			Subject: "orders", Key: fmt.Appendf(nil, "customer-%d", i), Offset: int64(i), Time: time.Unix(1_700_000_000, int64(i)),
			Value: fmt.Appendf(nil, `{"id":%d,"user":{"region":"eu-%d","name":"x"},"pad":"%0128d"}`, i, i%7, i),
			Headers: []connectors.Header{
				{Key: "content-type", Value: []byte("application/json")}, {Key: "env", Value: []byte("prod")},
				{Key: "region", Value: fmt.Appendf(nil, "eu-%d", i%7)},
			},
		})
	}
	return b
}

// way is one way to treat messages; none of it is the bridge's own cost.
type way struct {
	name             string
	filter, template string
}

func ways() []way {
	return []way{
		{"plain template", "", "orders.{{ key }}"},
		{"filter and plain template", `headers["env"] == "prod"`, "orders.{{ key }}"},
		{"filter and expression", `headers["env"] == "prod"`, `orders.{{ headers["region"] ?? "eu" }}.{{ key }}`},
		{"filter by key", `key startsWith "customer-"`, "orders.{{ key }}"},
		{"filter by json", `json("user.region") == "eu-1"`, "orders.{{ key }}"},
	}
}

// treat does with the messages of a batch what a lane and its sink do: filter, map, make the subject.
func treat(p *Program, subject *connectors.Template) func(*connectors.Batch) {
	e := p.Evaluator()
	var messages []connectors.Message
	var text []byte
	return func(b *connectors.Batch) {
		ready := b.Messages
		if e != nil {
			e.Reset()
			messages = messages[:0]
			for i := range b.Messages {
				if passes, err := e.Passes(b, &b.Messages[i]); err != nil || !passes {
					continue
				}
				m, _ := e.Map(b, &b.Messages[i])
				messages = append(messages, m)
			}
			ready = messages
		}
		for i := range ready {
			text = subject.Append(text[:0], b, &ready[i], verbatim)
		}
	}
}

func BenchmarkTransform(b *testing.B) {
	const size = 1000
	batch := stream(size)
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			p, templates := program(b, w.filter, w.template)
			f := treat(p, templates[0])
			b.ReportAllocs()
			for b.Loop() {
				f(batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/message")
		})
	}
}

// TestPlainAllocatesNothing: a template of names, and a filter over texts that repeat.
func TestPlainAllocatesNothing(t *testing.T) {
	batch := stream(1000)
	for _, w := range ways()[:2] {
		p, templates := program(t, w.filter, w.template)
		f := treat(p, templates[0])
		f(batch)
		if n := testing.AllocsPerRun(10, func() { f(batch) }); n > 0 {
			t.Errorf("%s: %v allocations in 1000 messages", w.name, n)
		}
	}
}
