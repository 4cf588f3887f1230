package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// write is one call of Sink.Write: its messages, split by target partition.
type write struct {
	items  []item
	order  []int32 // numbers of items, grouped by target
	parts  []part
	slots  []int32 // by target id: its place in parts plus one
	arena  []byte  // keys that the mapping built
	scrap  []byte
	now    int64 // milliseconds: the time of messages that have none
	failed []connectors.Failure
	grown  map[string]error // topics that were asked for new partitions, and why that failed

	finished chan struct{} // capacity 1: all parts are done

	// Guarded by producer.mu from enqueue on.
	left      int // parts not done
	encoding  int // requests that are reading the messages
	abandoned bool
	released  chan struct{} // made by abandon, closed when encoding has become 0
}

// item is one message of a write.
type item struct {
	batch   *connectors.Batch
	message *connectors.Message
	key     []byte
	target  *target
	size    int32 // encoded, at most
	number  int32 // among the Write's messages
	hops    uint8
}

// part is what a write has for one target. Its messages become one batch or, one after another, several.
type part struct {
	write  *write
	target *target
	order  []int32 // into write.items
	done   int     // how many of order have a definite outcome
	sealed int     // how many behind them have a sequence number; 0: none, the next batch is to be cut
	atMost int     // messages in the next batch, 0: no limit; small while a refused message is searched
	doubt  bool    // an attempt of the sealed batch may have been written
	again  bool    // the sealed batch was already sent again because of its checksum
}

func (w *write) reset() {
	clear(w.items)
	clear(w.parts)
	clear(w.failed)
	w.items, w.order, w.parts, w.failed = w.items[:0], w.order[:0], w.parts[:0], w.failed[:0]
	w.arena, w.scrap = w.arena[:0], w.scrap[:0]
	w.left, w.encoding, w.abandoned, w.released, w.grown = 0, 0, false, nil, nil
}

// route fills w: it maps every message and finds its target. A message that cannot be mapped, or whose
// topic cannot be had, is among the failed ones already. The error is for the Write as a whole.
func (s *sink) route(ctx context.Context, w *write, batches []*connectors.Batch) error {
	topics := s.producer.known()
	var only *sinkTopic
	if s.mapper.topics == nil {
		if only = topics[s.mapper.topic]; only == nil {
			var err error
			if only, err = s.producer.learn(ctx, s.mapper.topic); err != nil {
				return err
			}
		}
	}
	var unknown map[string]error // why a topic cannot be had, asked once a Write
	number := int32(-1)
	for _, b := range batches {
		for i := range b.Messages {
			m := &b.Messages[i]
			number++
			topic := only
			if topic == nil {
				var err error
				if w.scrap, err = s.mapper.topicOf(b, m, w.scrap[:0]); err != nil {
					w.fail(number, err)
					continue
				}
				if topic = topics[string(w.scrap)]; topic == nil {
					if unknown == nil {
						unknown = map[string]error{}
					}
					if topic, err = s.discover(ctx, string(w.scrap), unknown); err != nil {
						w.fail(number, err)
						continue
					}
					topics = s.producer.known()
				}
			}
			s.add(ctx, w, b, m, number, topic)
		}
	}
	w.group()
	return ctx.Err()
}

// discover learns of a topic that a mapping made, at most once a Write.
func (s *sink) discover(ctx context.Context, name string, unknown map[string]error) (*sinkTopic, error) {
	if err := unknown[name]; err != nil {
		return nil, err
	}
	topic, err := s.producer.learn(ctx, name)
	unknown[name] = err
	return topic, err
}

// add puts a message into w.
func (s *sink) add(ctx context.Context, w *write, b *connectors.Batch, m *connectors.Message, number int32, topic *sinkTopic) {
	hops, err := s.mapper.hops(b, m)
	if err != nil {
		w.fail(number, err)
		return
	}
	it := item{batch: b, message: m, number: number, hops: uint8(hops)}
	it.key, w.arena = s.mapper.keyOf(b, m, w.arena)
	r := wire.Record{Key: it.key, Value: m.Value, Headers: m.Headers}
	size := r.Size()
	if hops > 0 {
		size += len(connectors.OriginHeader) + len(b.Origin) + len(";hops=") + 40
		if b.Origin == "" {
			size += len(connectors.FindOrigin(m.Headers))
		}
	}
	if size+wire.BatchOverhead > int(s.config.MaxMessage) {
		w.fail(number, connectors.Permanent(fmt.Errorf(
			"message of %d bytes for topic %s: max_message is %v; raise it together with the topic's max.message.bytes",
			size, topic.meta.Name, s.config.MaxMessage)))
		return
	}
	it.size = int32(size)
	if it.target, err = s.targetOf(ctx, w, &it, topic); err != nil {
		w.fail(number, err)
		return
	}
	w.items = append(w.items, it)
}

// targetOf returns the partition of a message. Before one is refused that the topic is not known to have, the cluster
// is asked, once a Write: the partition may be new.
func (s *sink) targetOf(ctx context.Context, w *write, it *item, topic *sinkTopic) (*target, error) {
	if s.mapper.number == nil {
		return topic.targets[s.partition.choose(it.batch, it.message, it.key, len(topic.targets))], nil
	}
	name := topic.meta.Name
	failure, asked := w.grown[name]
	if failure != nil {
		return nil, failure // whatever it is: what is behind one that failed may be for the same partition
	}
	n, err := 0, error(nil)
	if n, w.scrap, err = s.mapper.partitionOf(it.batch, it.message, name, len(topic.targets), w.scrap); err == nil {
		return topic.targets[n], nil
	}
	if !asked {
		_, failure = s.producer.learn(ctx, name)
		if w.grown == nil {
			w.grown = map[string]error{}
		}
		if w.grown[name] = failure; failure != nil {
			return nil, failure
		}
	}
	if now := s.producer.known()[name]; len(now.targets) > len(topic.targets) {
		topic = now
	}
	if n, w.scrap, err = s.mapper.partitionOf(it.batch, it.message, name, len(topic.targets), w.scrap); err != nil {
		return nil, err
	}
	return topic.targets[n], nil
}

func (w *write) fail(number int32, err error) {
	w.failed = append(w.failed, connectors.Failure{Index: int(number), Err: err})
}

// group sorts the items by target, each target's in their order.
func (w *write) group() {
	for i := range w.items {
		t := w.items[i].target
		for t.id >= len(w.slots) {
			w.slots = append(w.slots, 0)
		}
		if w.slots[t.id] == 0 {
			w.parts = append(w.parts, part{write: w, target: t})
			w.slots[t.id] = int32(len(w.parts))
		}
		w.parts[w.slots[t.id]-1].done++ // counts for now
	}
	w.order = slices.Grow(w.order, len(w.items))[:len(w.items)]
	from := 0
	for i := range w.parts {
		p := &w.parts[i]
		p.order, from = w.order[from:from:from+p.done], from+p.done
		p.done = 0
	}
	for i := range w.items {
		p := &w.parts[w.slots[w.items[i].target.id]-1]
		p.order = append(p.order, int32(i))
	}
	for i := range w.parts {
		w.slots[w.parts[i].target.id] = 0
	}
}

// refuse and giveUp end messages of a part with an error: the next one for good, or all that are left.
func (p *part) refuse(err error) {
	p.write.fail(p.write.items[p.order[p.done]].number, connectors.Permanent(err))
	p.done++
}

func (p *part) giveUp(err error) {
	for _, i := range p.order[p.done:] {
		p.write.fail(p.write.items[i].number, err)
	}
	p.done = len(p.order)
}

// result makes Write's error.
func (w *write) result() error {
	if len(w.failed) == 0 {
		return nil
	}
	slices.SortFunc(w.failed, func(a, b connectors.Failure) int { return a.Index - b.Index })
	return &connectors.BatchError{Failed: slices.Clone(w.failed)}
}
