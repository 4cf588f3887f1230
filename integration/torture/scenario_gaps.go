package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// gapScenarios are about sources that lose what was not read, or are not what they were.
func gapScenarios() []*scenario {
	still := func(s *setting) { s.perSecond, s.vanishes, s.plain = 0, true, true }
	return []*scenario{
		{name: "expired-there", says: "Kafka deletes what was not read: the range is told, and the rest is read", set: there(still), act: expiredTopic},
		{name: "expired-back", says: "a stream is purged of what was not read: the range is told, and the rest is read", set: back(still), act: purgedStream},
		{name: "recreated-there", says: "a topic is deleted and created anew, longer than it was: the route waits for an operator", set: there(still), act: recreatedTopic},
		{name: "recreated-back", says: "a stream is deleted and created anew, longer than it was: the route waits for an operator", set: back(still), act: recreatedStream},
	}
}

// arrived moves some messages.
func arrived(ctx context.Context, r *route) error {
	if err := r.fill(ctx, 4000); err != nil {
		return err
	}
	if err := r.slots[0].start(); err != nil {
		return err
	}
	if err := r.arrives(ctx); err != nil {
		return err
	}
	r.settle(ctx)
	return nil
}

// halfRead moves some messages, ends the daemon, and writes some more.
func halfRead(ctx context.Context, r *route) error {
	if err := arrived(ctx, r); err != nil {
		return err
	}
	if _, err := r.slots[0].terminate(); err != nil {
		return err
	}
	return r.fill(ctx, 8000)
}

func (r *route) admin(do func(*kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.topic.Addr, ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}

func expiredTopic(ctx context.Context, _ *trial, r *route) error {
	if err := halfRead(ctx, r); err != nil {
		return err
	}
	committed, err := r.topic.Committed(ctx, "sluice-"+r.name)
	if err != nil {
		return err
	}
	err = r.admin(func(admin *kadm.Client) error {
		cut := kadm.Offsets{}
		for p, next := range committed {
			to := next + 100*int64(p) // none of partition 0
			cut.AddOffset(r.topic.Name, p, to, -1)
			if to > next {
				r.expect.gaps = append(r.expect.gaps, gap{fmt.Sprintf("%s/%d", r.topic.Name, p), next, to})
			}
		}
		_, err := admin.DeleteRecords(ctx, cut)
		return err
	})
	if err != nil {
		return err
	}
	return r.slots[0].start()
}

func (r *route) jetStream(do func(jetstream.JetStream) error) error {
	conn, err := nats.Connect(r.stream.URL)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return do(js)
}

func purgedStream(ctx context.Context, _ *trial, r *route) error {
	if err := halfRead(ctx, r); err != nil {
		return err
	}
	const first = 4701
	r.expect.gaps = []gap{{r.stream.Name, 4001, first}}
	err := r.jetStream(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, r.stream.Name)
		if err != nil {
			return err
		}
		return stream.Purge(ctx, jetstream.WithPurgeSequence(first))
	})
	if err != nil {
		return err
	}
	return r.slots[0].start()
}

func recreatedTopic(ctx context.Context, _ *trial, r *route) error {
	r.expect.halt = "created anew"
	if err := arrived(ctx, r); err != nil {
		return err
	}
	if err := r.topic.Delete(ctx); err != nil {
		return err
	}
	if err := retry(ctx, func() error { return r.topic.Create(ctx, r.partitions, nil) }); err != nil {
		return err
	}
	if err := r.fill(ctx, 8000); err != nil {
		return err
	}
	return r.waits(ctx)
}

func recreatedStream(ctx context.Context, _ *trial, r *route) error {
	r.expect.halt = "created again"
	if err := arrived(ctx, r); err != nil {
		return err
	}
	if err := r.stream.Delete(ctx); err != nil {
		return err
	}
	if err := r.stream.Create(ctx, nil, r.name+".>"); err != nil {
		return err
	}
	if err := r.fill(ctx, 8000); err != nil {
		return err
	}
	return r.waits(ctx)
}

// waits gives a route time to find out that it has to wait for an operator.
func (r *route) waits(ctx context.Context) error {
	for begin := time.Now(); r.watch.why() == "" && time.Since(begin) < 15*time.Second; {
		if err := pause(ctx, sampleEvery); err != nil {
			return err
		}
	}
	return nil
}

// retry tries again for a while: a topic that is being deleted cannot be created.
func retry(ctx context.Context, do func() error) (err error) {
	for range 100 {
		if err = do(); err == nil {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return err
}
