package kafka

import (
	"fmt"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/sluice-bridge/sluice/connectors"
)

// The partitions are those that kafka-go's balancers choose, which its authors checked against Java and Sarama.
func TestPartitioners(t *testing.T) {
	partitions := []int{0, 1, 2, 3, 4, 5, 6}
	b := &connectors.Batch{Partition: "S", Origin: "nats:x/S"}
	for n := range 2000 {
		key := []byte(fmt.Sprint("key-", n*7919)[:4+n%6])
		m := connectors.Message{Key: key}
		if got, want := byMurmur2.choose(b, &m, key, 7), (kafkago.Murmur2Balancer{}).Balance(kafkago.Message{Key: key}, partitions...); got != want {
			t.Fatalf("murmur2 %q: %d, want %d", key, got, want)
		}
		if got, want := byFNV1a.choose(b, &m, key, 7), (&kafkago.Hash{}).Balance(kafkago.Message{Key: key}, partitions...); got != want {
			t.Fatalf("fnv1a %q: %d, want %d", key, got, want)
		}
	}
}

// Messages without a key, and all under "source", follow the partition they came from.
func TestPartitionOfOrigin(t *testing.T) {
	kafka := func(p string) *connectors.Batch { return &connectors.Batch{Partition: p, Origin: "kafka:c/" + p} }
	stream := &connectors.Batch{Partition: "S", Origin: "nats:x/S"}
	origin := func(v string) []connectors.Header {
		return []connectors.Header{{Key: connectors.OriginHeader, Value: []byte(v)}}
	}
	for _, c := range []struct {
		p    partitioner
		b    *connectors.Batch
		h    []connectors.Header
		key  []byte
		want int
	}{
		{byMurmur2, kafka("orders/3"), nil, nil, 3},
		{byMurmur2, kafka("orders/9"), nil, nil, 2},
		{bySource, kafka("orders/3"), nil, []byte("k"), 3},
		{bySource, stream, origin("kafka:c/orders/5/1042;hops=1"), []byte("k"), 5},
		{byMurmur2, stream, origin("kafka:c/orders/5/1042;hops=1"), nil, 5},
		{bySource, stream, origin("nats:c/orders/5;hops=1"), []byte("k"), byMurmur2.choose(stream, nil, []byte("k"), 7)},
		{bySource, stream, origin(""), []byte("k"), byMurmur2.choose(stream, nil, []byte("k"), 7)},
		{bySource, stream, origin("kafka:"), []byte("k"), byMurmur2.choose(stream, nil, []byte("k"), 7)},
		{byMurmur2, stream, origin("kafka:c/o/99999999999999999999/1;hops=1"), nil, int(positive(murmur2("S"))) % 7},
	} {
		if got := c.p.choose(c.b, &connectors.Message{Headers: c.h}, c.key, 7); got != c.want {
			t.Errorf("%+v: %d, want %d", c, got, c.want)
		}
	}
}

func TestKeyOf(t *testing.T) {
	nats := &connectors.Batch{Origin: "nats:x/S"}
	ours := []connectors.Header{{Key: connectors.OriginHeader, Value: []byte("kafka:c/t/0/1;hops=1")}}
	key, _ := connectors.ParseTemplate("{{ subject }}/{{ offset }}")
	own, _ := connectors.ParseTemplate("{{ key }}")
	for name, c := range map[string]struct {
		mapper  mapper
		batch   *connectors.Batch
		message connectors.Message
		want    string
		null    bool
	}{
		"its own":                   {mapper{}, nats, connectors.Message{Subject: "s", Key: []byte("k")}, "k", false},
		"empty is a key":            {mapper{}, nats, connectors.Message{Subject: "s", Key: []byte{}}, "", false},
		"subject":                   {mapper{}, nats, connectors.Message{Subject: "s"}, "s", false},
		"core":                      {mapper{}, &connectors.Batch{}, connectors.Message{Subject: "s"}, "s", false},
		"from Kafka":                {mapper{}, &connectors.Batch{Origin: "kafka:c/t/0"}, connectors.Message{Subject: "t"}, "", true},
		"from Kafka through NATS":   {mapper{}, nats, connectors.Message{Subject: "s", Headers: ours}, "", true},
		"the mapping's":             {mapper{key: key}, nats, connectors.Message{Subject: "s", Key: []byte("k"), Offset: 7}, "s/7", false},
		"the mapping makes nothing": {mapper{key: own}, nats, connectors.Message{Subject: "s"}, "", false},
		"no subject":                {mapper{}, nats, connectors.Message{}, "", true},
		"something else altogether": {mapper{}, &connectors.Batch{Origin: "file:x"}, connectors.Message{Subject: "line"}, "", true},
	} {
		for _, arena := range [][]byte{[]byte("arena"), nil} {
			got, _ := c.mapper.keyOf(c.batch, &c.message, arena)
			if string(got) != c.want || (got == nil) != c.null {
				t.Errorf("%s: %q, null %v", name, got, got == nil)
			}
		}
	}
}

// A route with headers: none counts no hops.
func TestHops(t *testing.T) {
	m := connectors.Message{Headers: []connectors.Header{{Key: connectors.OriginHeader, Value: []byte("nats:x/S/1;hops=8")}}}
	b := &connectors.Batch{Origin: "nats:x/S"}
	if got, err := (&mapper{}).hops(b, &m); got != 0 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := (&mapper{headers: true}).hops(b, &m); !connectors.IsPermanent(err) {
		t.Errorf("a loop: %v", err)
	}
}

func TestTopicOf(t *testing.T) {
	b := &connectors.Batch{Partition: "S"}
	for _, c := range []struct {
		template, key, want string
	}{
		{"x.{{ key }}", "a", "x.a"}, {"x.{{ key }}", "", "x."}, {"x.{{ key }}", "a/b", ""}, {"x.{{ key }}", "\x00", ""},
		{"{{ key }}", "", ""}, {"{{ key }}", ".", ""}, {"{{ key }}", "..", ""}, {"{{ key }}", "__consumer_offsets", ""},
		{"__x{{ key }}", "y", "__xy"}, {"{{ key }}", "_x", "_x"},
	} {
		template, err := connectors.ParseTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		m := mapper{topics: template}
		got, err := m.topicOf(b, &connectors.Message{Key: []byte(c.key)}, nil)
		if c.want == "" && !connectors.IsPermanent(err) || c.want != "" && (err != nil || string(got) != c.want) {
			t.Errorf("%s with %q: %q, %v", c.template, c.key, got, err)
		}
	}
}

// TestPartitionOf: a number that the topic has, by a name or an expression, and nothing else.
func TestPartitionOf(t *testing.T) {
	for _, c := range []struct {
		template, key string
		want          int
	}{
		{"3", "", 3}, {"{{ key }}", "2", 2}, {"{{ key }}", "4", -1}, {"{{ key }}", "", -1}, {"{{ key }}", "-1", -1}, {"{{ key }}", "1/2", -1},
		{"{{ key }}", "99999999999999999999", -1}, {"{{ partition }}", "", 1},
	} {
		template, err := connectors.ParseTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		m := mapper{number: template}
		got, _, err := m.partitionOf(&connectors.Batch{Partition: "orders/1"}, &connectors.Message{Key: []byte(c.key)}, "out", 4, nil)
		if c.want < 0 && !connectors.IsPermanent(err) || c.want >= 0 && (err != nil || got != c.want) {
			t.Errorf("%s with %q: %d, %v", c.template, c.key, got, err)
		}
	}
}
