package failpoint

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/integration/proxy"
)

// fault is what a broker does to a route that works.
type fault struct {
	name string
	// strike returns when the fault has hit the route, for which more makes work.
	strike func(ctx context.Context, more func() error) error
}

// refusal lets the brokers answer an error, so often.
func (e *kafkaEnd) refusal(key kmsg.Key, code *kerr.Error, times int) fault {
	return fault{fmt.Sprintf("%s %s x %d", key.Name(), code.Message, times), func(ctx context.Context, more func() error) error {
		h := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: code, Count: times, When: func(kmsg.Request) bool {
			if key == kmsg.OffsetCommit && code != kerr.RequestTimedOut {
				e.refused()
			}
			return true
		}})
		defer h.Remove()
		return keepBusy(ctx, more, func() bool { return h.Hits() >= times })
	}}
}

// control lets do answer the requests of a key, so often.
func (e *kafkaEnd) control(name string, key kmsg.Key, times int, do func() error) fault {
	return fault{fmt.Sprintf("%s %s x %d", key.Name(), name, times), func(ctx context.Context, more func() error) error {
		var bitten atomic.Int64
		for range times {
			e.cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
				err := do()
				e.cluster.DropControl()
				bitten.Add(1)
				return nil, err, err != nil
			})
		}
		return keepBusy(ctx, more, func() bool { return bitten.Load() >= int64(times) })
	}}
}

// cut lets the brokers close the connection instead of answering requests of a key: before they have
// handled them, or after.
func (e *kafkaEnd) cut(key kmsg.Key, times int) []fault {
	return []fault{
		e.control("is not heard", key, times, func() error { return net.ErrClosed }),
		{fmt.Sprintf("%s loses its answer x %d", key.Name(), times), func(ctx context.Context, more func() error) error {
			lost := e.conns.loseAnswers(key, times)
			return keepBusy(ctx, more, func() bool { return lost() == times })
		}},
	}
}

// moves lets leaders or coordinators move, each time at a request of key.
func (e *kafkaEnd) moves(name string, key kmsg.Key, move func()) fault {
	return fault{name, func(ctx context.Context, more func() error) error {
		for range 3 {
			h := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Observe: true, Count: -1})
			err := keepBusy(ctx, more, func() bool { return h.Hits() > 0 })
			h.Remove()
			if err != nil {
				return err
			}
			move()
		}
		return nil
	}}
}

func (e *kafkaEnd) sinkFaults() []fault {
	return append([]fault{
		e.refusal(kmsg.Produce, kerr.RequestTimedOut, 3),              // and written
		e.refusal(kmsg.Produce, kerr.NotEnoughReplicasAfterAppend, 3), // and written
		e.refusal(kmsg.Produce, kerr.NotEnoughReplicas, 2),
		e.refusal(kmsg.Produce, kerr.NotLeaderForPartition, 2),
		e.refusal(kmsg.Produce, kerr.KafkaStorageError, 3),
		e.refusal(kmsg.Produce, kerr.UnknownTopicOrPartition, 2),
		e.control("is slow", kmsg.Produce, 2, e.sleep),
		e.moves("leaders move", kmsg.Produce, e.cluster.ShufflePartitionLeaders),
	}, e.cut(kmsg.Produce, 2)...)
}

// sleep holds a request for a while; others go on.
func (e *kafkaEnd) sleep() error {
	e.cluster.SleepControl(func() { time.Sleep(150 * time.Millisecond) })
	return nil
}

func (e *kafkaEnd) sourceFaults() []fault {
	faults := []fault{
		e.refusal(kmsg.Fetch, kerr.NotLeaderForPartition, 2),
		e.refusal(kmsg.Fetch, kerr.UnknownLeaderEpoch, 2),
		e.refusal(kmsg.Fetch, kerr.KafkaStorageError, 2),
		e.refusal(kmsg.OffsetCommit, kerr.RequestTimedOut, 2), // and stored
		e.refusal(kmsg.OffsetCommit, kerr.CoordinatorNotAvailable, 2),
		e.refusal(kmsg.OffsetCommit, kerr.NotCoordinator, 2),
		e.refusal(kmsg.OffsetCommit, kerr.CoordinatorLoadInProgress, 2),
		e.refusal(kmsg.OffsetCommit, kerr.RebalanceInProgress, 1),
		e.refusal(kmsg.Heartbeat, kerr.RebalanceInProgress, 2), // joins again, having committed what it held
		e.control("is slow", kmsg.OffsetCommit, 1, e.sleep),
		e.moves("leaders move", kmsg.Fetch, e.cluster.ShufflePartitionLeaders),
		e.moves("coordinators move", kmsg.OffsetCommit, e.cluster.RehashCoordinators),
	}
	faults = append(faults, e.cut(kmsg.OffsetCommit, 2)...)
	return append(faults, e.cut(kmsg.Fetch, 2)...)
}

// expulsions end the daemon's membership in its group.
func (e *kafkaEnd) expulsions() []fault {
	e.expels = true
	return []fault{
		e.refusal(kmsg.Heartbeat, kerr.UnknownMemberID, 1),
		e.refusal(kmsg.OffsetCommit, kerr.IllegalGeneration, 1),
		e.refusal(kmsg.OffsetCommit, kerr.UnknownMemberID, 1),
	}
}

// linkFaults are those of the way to the server and of the server itself. Each hits when so many bytes of
// the daemon have passed since it was planned: for a sink as many as are in the middle of a Write.
func (s *natsServer) linkFaults(bytes int64) []fault {
	plan := func(name string, at func(), then func() error) fault {
		return fault{name, func(ctx context.Context, more func() error) error {
			for range 2 {
				var cut atomic.Bool
				s.way.CutAfter(bytes, func() { at(); cut.Store(true) })
				if err := keepBusy(ctx, more, cut.Load); err != nil {
					return err
				}
				if err := then(); err != nil {
					return err
				}
			}
			return nil
		}}
	}
	nothing, hold := func() {}, func() { s.way.Hold(proxy.ToClient) }
	reset := func() error {
		time.Sleep(20 * time.Millisecond) // what has passed is handled meanwhile
		s.way.Reset()
		s.way.Open()
		return nil
	}
	return []fault{
		plan("connections are reset", nothing, reset),
		plan("answers are lost", hold, reset),
		plan("the server restarts", nothing, s.restart),
	}
}

// How many bytes are in the middle of what a sink or a source says to its server.
const (
	ofSink   = 3000
	ofSource = 1
)

// faultsOf returns what the brokers of a pair do to it.
func faultsOf(pair string, up upstream, down downstream) []fault {
	switch pair {
	case "kafka-jetstream":
		return slices.Concat(up.(*kafkaEnd).sourceFaults(), down.(*streamEnd).linkFaults(ofSink))
	case "kafka-jetstream-fast":
		return down.(*streamEnd).linkFaults(ofSink)
	case "jetstream-kafka":
		return slices.Concat(up.(*streamEnd).linkFaults(ofSource), down.(*kafkaEnd).sinkFaults())
	case "kafka-kafka":
		return down.(*kafkaEnd).sinkFaults()
	case "jetstream-jetstream":
		return slices.Concat(up.(*streamEnd).linkFaults(ofSource), down.(*streamEnd).linkFaults(ofSink))
	case "kafka-nats":
		return slices.Concat(up.(*kafkaEnd).expulsions(), down.(*subjectEnd).linkFaults(ofSink)[:2])
	}
	return nil
}

// A broker fails in every way that a route has to bear: nothing is lost or reordered, and nothing is
// doubled where the guarantee says that a lost answer doubles nothing.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		if p.name == "nats-kafka" {
			continue // its sink has been through all of it in other pairs, and its source keeps nothing
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c, err := p.faults(ctx, t, "", "")
			if err != nil {
				t.Fatal(err)
			}
			c.report(t)
		})
	}
}

// faults lets one life of the daemon bear the faults of a pair whose names begin with prefix, one after the
// other.
func (p *pair) faults(ctx context.Context, t testing.TB, program, prefix string) (*chain, error) {
	up, down, err := p.open(ctx, t, &p.load)
	if err != nil {
		return nil, err
	}
	c, err := newChain(ctx, t, program, up, down, &p.load, p.same...)
	if err != nil {
		return nil, err
	}
	// A sink that stores nothing sends again what the server had not confirmed, and who was expelled from
	// its group has what it held read again.
	c.mayDouble = p.name == "kafka-nats"
	l, err := c.begin(ctx, "faults", Plan{})
	if err != nil {
		return c, err
	}
	filled := int64(messages)
	more := func() error {
		filled += perFault
		return up.(filler).fill(ctx, &p.load, filled-perFault, filled)
	}
	faults := slices.DeleteFunc(faultsOf(p.name, up, down), func(f fault) bool { return !strings.HasPrefix(f.name, prefix) })
	for _, f := range faults {
		begin := time.Now()
		if err := f.strike(ctx, more); err != nil {
			return c, fmt.Errorf("%s has not bitten: %w", f.name, err)
		}
		c.lives = append(c.lives, fmt.Sprintf("%-50s bitten after %v", f.name, time.Since(begin).Round(time.Millisecond)))
	}
	if err := c.read(ctx); err != nil {
		return c, err
	}
	if err := c.complete(ctx, l); err != nil {
		return c, err
	}
	if most := int64(3 * len(faults) * 5 * window); c.doubled > most { // each hits three times at most
		c.find(l.name, "%d messages doubled, more than %d", c.doubled, most)
	}
	return c, nil
}

// perFault is how many messages are written for a fault to hit.
const perFault = 150

// keepBusy makes work until a fault has hit, for it counts only if there was work.
func keepBusy(ctx context.Context, more func() error, bitten func() bool) error {
	for {
		if err := more(); err != nil {
			return err
		}
		for range 100 { // about as long as that work takes
			if bitten() {
				return nil
			}
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}
