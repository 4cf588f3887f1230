package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// marks are where the sink's log ended at some moments, so that a place in it has a time, which neither
// log tells by itself.
type marks struct {
	mu  sync.Mutex
	all []mark
}

type mark struct {
	at   float64
	ends map[int32]int64 // by partition: the offset behind the last message
}

const markEvery = 100 * time.Millisecond

// keepMarks takes marks until ctx ends. While the sink is away there are none, and what it was given then
// counts as later.
func (r *route) keepMarks(ctx context.Context) error {
	ends, stop, err := r.sinkEnds()
	if err != nil {
		return err
	}
	defer stop()
	for pause(ctx, markEvery) == nil {
		at := r.log.now()
		asking, cancel := context.WithTimeout(ctx, 2*time.Second)
		e, err := ends(asking)
		cancel()
		if err != nil {
			continue
		}
		r.marks.mu.Lock()
		r.marks.all = append(r.marks.all, mark{at, e})
		r.marks.mu.Unlock()
	}
	return nil
}

// sinkEnds returns how to ask the sink where it ends, past the proxies.
func (r *route) sinkEnds() (ask func(context.Context) (map[int32]int64, error), stop func(), err error) {
	if r.toStream {
		conn, err := nats.Connect(r.stream.URL, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.RetryOnFailedConnect(true), mute())
		if err != nil {
			return nil, nil, err
		}
		js, err := jetstream.New(conn)
		return func(ctx context.Context) (map[int32]int64, error) {
			stream, err := js.Stream(ctx, r.stream.Name)
			if err != nil {
				return nil, err
			}
			return map[int32]int64{0: int64(stream.CachedInfo().State.LastSeq) + 1}, nil
		}, conn.Close, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.topic.Addr, ",")...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	admin := kadm.NewClient(client)
	return func(ctx context.Context) (map[int32]int64, error) {
		listed, err := admin.ListEndOffsets(ctx, r.topic.Name)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return nil, err
		}
		ends := map[int32]int64{}
		listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
		return ends, nil
	}, client.Close, nil
}

// times returns, for places of one partition in ascending order, when each was there: the time of the
// first mark that holds it.
func (m *marks) times(partition int32, offsets []int64) []float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	times := make([]float64, len(offsets))
	at := 0
	for i, offset := range offsets {
		for at < len(m.all) && m.all[at].ends[partition] <= offset {
			at++
		}
		if at < len(m.all) {
			times[i] = m.all[at].at
		} else {
			times[i] = endOfTime
		}
	}
	return times
}

const endOfTime = 1e9
