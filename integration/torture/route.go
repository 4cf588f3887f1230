package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// The sizes of a route under test: small windows, so that what may be doubled is little.
const (
	partitions  = 4 // of a topic, unless the setting says otherwise
	maxMessages = 1024
	maxBytes    = 16 << 20
)

// setting is what differs between the routes of a run, and between runs.
type setting struct {
	toStream bool // Kafka to JetStream, else JetStream to Kafka

	partitions int32                         // of the topic
	copies     int16                         // of the topic; 0: as is usual at the brokers
	topic      map[string]string             // options
	stream     func(*jetstream.StreamConfig) // changes
	source     string                        // YAML in the source's section, such as ", ack_wait: 30s"
	sink       string                        // and in the sink's
	subject    string                        // what follows the name in map.subject; "partition" if empty
	extra      string                        // YAML in the route, indented by four
	static     bool                          // daemons are static members of their group
	perSecond  int                           // of the load; 0: there is none
	burst      int                           // messages at once, now and then
	shares     int                           // one in so many messages is in a transaction; 0: none
	keys       int                           // how many keys the messages have
	keyed      bool                          // every message has a key
	plain      bool                          // no message is too large
	size       int                           // of every value; 0: many sizes
	vanishes   bool                          // the source forgets messages, as it should
}

// expectation is what a run is to show beside a clean comparison.
type expectation struct {
	halt string // what the reason of the halt holds; empty: no route halts
	gaps []gap
	lost int64 // messages of batches that cannot be read
	raw  int   // dead letters that hold such a batch
	told bool  // that the sink has forgotten messages, no fewer than are lost
}

// route is a route under test: its two ends at the brokers and on the way, its load, its daemons.
type route struct {
	setting
	name    string // unique among the runs on a stage
	stage   *stage
	topic   truth.Topic
	stream  truth.Stream
	refused truth.Stream // of a route to Kafka: where dead letters go
	letters truth.Topic  // of a route to JetStream

	kafka, nats *end
	maker       *maker
	ledger      ledger
	watch       *watch
	slots       []*slot
	log         *timeline
	marks       marks
	expect      expectation
	written     []truth.Entry // what the source was given, where it cannot be read any more
}

// newRoute makes what a route needs at the brokers. at is 0 or 1: a stage has room for two.
func newRoute(ctx context.Context, s *stage, at int, name string, set setting, seed uint64, log *timeline) (*route, error) {
	set.partitions = cmp.Or(set.partitions, partitions)
	r := &route{
		setting: set, name: name, stage: s, log: log, watch: newWatch(),
		topic:   truth.Topic{Addr: s.bootstrap(), Name: name, Copies: set.copies},
		stream:  truth.Stream{URL: s.servers(), Name: strings.ToUpper(name)},
		refused: truth.Stream{URL: s.servers(), Name: strings.ToUpper(name) + "-LETTERS"},
		letters: truth.Topic{Addr: s.bootstrap(), Name: name + "-letters"},
		maker: &maker{
			run: name, seed: seed, began: time.Now(), keys: cmp.Or(set.keys, 500), keyed: set.keyed, native: !set.toStream, size: set.size,
		},
	}
	if !set.plain && set.toStream {
		r.maker.nearLimit, r.maker.tooLarge = 900<<10, 1300<<10
	} else if !set.plain {
		r.maker.nearLimit, r.maker.tooLarge = 400<<10, 700<<10
	}
	var err error
	if r.kafka, err = s.kafkaEnd(at); err != nil {
		return nil, err
	}
	if r.nats, err = s.natsEnd(); err != nil {
		r.kafka.close()
		return nil, err
	}
	return r, r.create(ctx)
}

// create makes topics and streams. What is too large for one end has a place among the dead letters at
// the other.
func (r *route) create(ctx context.Context) error {
	topic := map[string]string{"max.message.bytes": fmt.Sprint(512 << 10)}
	if r.toStream {
		topic["max.message.bytes"] = fmt.Sprint(2 << 20)
	}
	for k, v := range r.setting.topic {
		topic[k] = v
	}
	change := func(c *jetstream.StreamConfig) {
		c.Replicas = len(r.stage.nats)
		if r.setting.stream != nil {
			r.setting.stream(c)
		}
	}
	err := errors.Join(r.topic.Create(ctx, r.partitions, topic), r.stream.Create(ctx, change, r.name+".>"))
	if r.toStream {
		return errors.Join(err, r.letters.Create(ctx, 1, map[string]string{"max.message.bytes": fmt.Sprint(4 << 20)}))
	}
	return errors.Join(err, r.refused.Create(ctx, func(c *jetstream.StreamConfig) { c.Replicas = len(r.stage.nats) }, r.name+"-letters"))
}

// config is the configuration of the daemon in a slot.
func (r *route) config(slot string) string {
	window := fmt.Sprintf("    window: {max_messages: %d, max_bytes: %dB}\n", maxMessages, maxBytes)
	source := r.source
	if r.static && r.toStream {
		source += fmt.Sprintf(", instance_id: %q", slot)
	}
	if r.toStream {
		subject := r.subject
		if subject == "" {
			subject = "{{ partition }}"
		}
		return fmt.Sprintf(`shutdown: {drain: %[11]s}
routes:
  %[1]s:
    source: {kafka: {brokers: %[2]s, topics: "%[1]s"%[3]s}}
    map: {subject: "%[1]s.%[4]s"}
    sink: {jetstream: {servers: %[5]s, stream: "%[6]s"%[7]s}}
%[8]s    on_reject: dead_letter
    dead_letter: {sink: {kafka: {brokers: %[2]s, topic: "%[9]s", max_message: 4MiB}}}
%[10]s`, r.name, r.kafka.addresses(), source, subject, r.nats.addresses(), r.stream.Name, r.sink, window, r.letters.Name, r.extra, drainDeadline)
	}
	return fmt.Sprintf(`shutdown: {drain: %[10]s}
routes:
  %[1]s:
    source: {jetstream: {servers: %[2]s, stream: "%[3]s"%[4]s}}
    sink: {kafka: {brokers: %[5]s, topic: "%[1]s"%[6]s}}
%[7]s    on_reject: dead_letter
    dead_letter: {sink: {jetstream: {servers: %[2]s, stream: "%[8]s", subject: "%[1]s-letters"}}}
%[9]s`, r.name, r.nats.addresses(), r.stream.Name, source, r.kafka.addresses(), r.sink, window, r.refused.Name, r.extra, drainDeadline)
}

// near is the end that is read from, far the one that is written to.
func (r *route) near() *end {
	if r.toStream {
		return r.kafka
	}
	return r.nats
}

func (r *route) far() *end {
	if r.toStream {
		return r.nats
	}
	return r.kafka
}

// close ends everything and takes away what was made at the brokers.
func (r *route) close(ctx context.Context) {
	for _, s := range r.slots {
		s.end()
	}
	r.kafka.close()
	r.nats.close()
	_ = r.topic.Delete(ctx)
	_ = r.letters.Delete(ctx)
	_ = r.stream.Delete(ctx)
	_ = r.refused.Delete(ctx)
}
