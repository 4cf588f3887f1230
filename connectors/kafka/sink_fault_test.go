package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
)

func writeAll(t *testing.T, s *sink, lane string, from, n, step int) {
	t.Helper()
	ctx := testContext(t)
	for i := from; i < from+n; i += step {
		if err := s.Write(ctx, []*connectors.Batch{batchOf(lane, int64(i), keyed(lane, i, step)...)}); err != nil {
			t.Fatal(err)
		}
	}
}

// An answer that was lost on its way back, again and again, is not written twice.
func TestSinkLostAnswers(t *testing.T) {
	t.Parallel()
	var cut atomic.Int64
	cluster := newCluster(t, cutting(&cut), kfake.SeedTopics(4, "t"))
	s, host := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	writeAll(t, s, "a", 0, 100, 10)
	cut.Store(5)
	writeAll(t, s, "a", 100, 100, 10)
	if cut.Load() > 0 {
		t.Fatal("nothing was cut")
	}
	if _, err := host.AwaitEvent(testContext(t), connectors.Retrying); err != nil {
		t.Error("the retries were not reported")
	}
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 200, "t"), map[string]int{"a": 200})
}

// The same where the broker itself says that it does not know.
func TestSinkTimedOutAndWritten(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(2, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	h := cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 3},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend, Count: 3},
	)
	writeAll(t, s, "a", 0, 100, 10)
	if h.Hits() < 6 {
		t.Fatalf("%d faults", h.Hits())
	}
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 100, "t"), map[string]int{"a": 100})
}

// Leaders move, answers are lost and brokers fail in every way that can be retried, while lanes write.
func TestSinkRandomFaults(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			randomFaults(t, rand.New(rand.NewPCG(seed, 2)))
		})
	}
}

func randomFaults(t *testing.T, random *rand.Rand) {
	var cut atomic.Int64
	cluster := newCluster(t, cutting(&cut), kfake.NumBrokers(3), kfake.SeedTopics(4, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	lanes := map[string]int{"a": 800, "b": 800, "c": 800}
	ctx := testContext(t)
	done := make(chan string)
	for lane, n := range lanes {
		go func() {
			for i := 0; i < n; i += 20 {
				batch := batchOf(lane, int64(i), keyed(lane, i, 20)...)
				if err := s.Write(ctx, []*connectors.Batch{batch}); err != nil {
					t.Errorf("lane %s: %v", lane, err)
					break
				}
			}
			done <- lane
		}()
	}
	codes := []*kerr.Error{
		kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas, kerr.NotLeaderForPartition,
		kerr.KafkaStorageError, kerr.UnknownServerError, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition,
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for left, faults := len(lanes), 0; left > 0; {
		select {
		case <-done:
			left--
			continue
		case <-tick.C:
		}
		if faults++; faults > 30 {
			continue // they come faster than backoffs end, so they have to end
		}
		switch random.IntN(3) {
		case 0:
			if err := cluster.MoveTopicPartition("t", random.Int32N(4), random.Int32N(3)); err != nil {
				t.Error(err)
			}
		case 1:
			cut.Store(1)
		default:
			cluster.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce}, Err: codes[random.IntN(len(codes))], Partitions: []int32{random.Int32N(4)},
			})
		}
	}
	cut.Store(0)
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 2400, "t"), lanes)
}

// refuse makes the cluster answer code for batches that hold a message with the text.
func refuse(cluster *kfake.Cluster, text string, err *kerr.Error) *kfake.FaultHandle {
	return cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1, When: func(r kmsg.Request) bool {
		for _, topic := range r.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				if bytes.Contains(p.Records, []byte(text)) {
					return true
				}
			}
		}
		return false
	}})
}

// Exactly the messages that the broker refuses are refused; all others are written, in order.
func TestSinkRefusedMessages(t *testing.T) {
	t.Parallel()
	for _, code := range []*kerr.Error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.CorruptMessage, kerr.InvalidTimestamp} {
		t.Run(code.Message, func(t *testing.T) {
			cluster := newCluster(t, kfake.SeedTopics(1, "t"))
			s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
			refuse(cluster, "BAD", code)
			messages := keyed("a", 0, 100)
			bad := map[int]bool{0: true, 41: true, 42: true, 99: true}
			for i := range bad {
				messages[i].Value = []byte("BAD")
			}
			err := s.Write(testContext(t), []*connectors.Batch{batchOf("a", 0, messages...)})
			var failed *connectors.BatchError
			if !errors.As(err, &failed) || len(failed.Failed) != len(bad) {
				t.Fatalf("err = %v", err)
			}
			last := -1
			for _, f := range failed.Failed {
				if !bad[f.Index] || f.Index <= last || !connectors.IsPermanent(f.Err) || !strings.Contains(f.Err.Error(), "t/0") {
					t.Errorf("%d: %v", f.Index, f.Err)
				}
				last = f.Index
			}
			records := readAll(t, cluster.ListenAddrs(), 96, "t")
			next := 0
			for _, r := range records {
				for bad[next] {
					next++
				}
				if want := fmt.Sprintf("a:%d", next); string(r.Value) != want {
					t.Fatalf("%s where %s should be", r.Value, want)
				}
				next++
			}
			if len(records) != 96 {
				t.Errorf("%d records", len(records))
			}
		})
	}
}

// A partition that lost its account of our sequences gets a new one; what was acknowledged stays single.
func TestSinkForgottenSequence(t *testing.T) {
	t.Parallel()
	for _, code := range []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch} {
		t.Run(code.Message, func(t *testing.T) {
			cluster := newCluster(t, kfake.SeedTopics(2, "t"))
			s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
			writeAll(t, s, "a", 0, 50, 10)
			h := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, Count: 2})
			writeAll(t, s, "a", 50, 50, 10)
			if h.Hits() != 2 {
				t.Fatal("no fault")
			}
			checkLanes(t, readAll(t, cluster.ListenAddrs(), 100, "t"), map[string]int{"a": 100})
		})
	}
}

// Where an attempt had no answer before, the messages may be doubled, and that is said.
func TestSinkForgottenSequenceInDoubt(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	s, host := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	writeAll(t, s, "a", 0, 10, 10)
	cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.OutOfOrderSequenceNumber},
	)
	writeAll(t, s, "a", 10, 10, 10)
	said := false
	for _, e := range host.Events() {
		said = said || e.Err != nil && strings.Contains(e.Err.Error(), "may be doubled")
	}
	if !said {
		t.Error("nobody was told")
	}
	if n := len(readAll(t, cluster.ListenAddrs(), 30, "t")); n != 30 {
		t.Errorf("%d records, want 20 and 10 doubled", n)
	}
}

// A Write that is given up while its outcome is open does not let later messages be taken for its own.
func TestSinkAbandonedWrite(t *testing.T) {
	t.Parallel()
	for _, written := range []bool{true, false} {
		t.Run(fmt.Sprint("written ", written), func(t *testing.T) {
			cluster := newCluster(t, kfake.SeedTopics(1, "t"))
			s, host := openTestSink(t, cluster.ListenAddrs(), "t", nil)
			writeAll(t, s, "a", 0, 10, 10)
			// The broker does not know for a while; then the leader is elsewhere.
			faults := []kfake.Fault{{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut}}
			if !written {
				faults = nil
			}
			h := cluster.Fault(append(faults, kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: -1})...)
			ctx, cancel := context.WithCancel(testContext(t))
			done := make(chan error)
			go func() { done <- s.Write(ctx, []*connectors.Batch{batchOf("x", 0, keyed("x", 0, 10)...)}) }()
			if _, err := host.AwaitEvent(ctx, connectors.Retrying); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v", err)
			}
			h.Remove()
			writeAll(t, s, "a", 10, 10, 10)
			want := 20
			if written {
				want = 30
			}
			records := readAll(t, cluster.ListenAddrs(), want, "t")
			if len(records) != want {
				t.Errorf("%d records, want %d", len(records), want)
			}
			kept := records[:0]
			for _, r := range records {
				if r.Value[0] == 'a' {
					kept = append(kept, r)
				}
			}
			checkLanes(t, kept, map[string]int{"a": 20})
		})
	}
}

// What is definitely not written goes back to the bridge after a while, with the cause and the way out.
func TestSinkGivesBack(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	s.producer.patience = 300 * time.Millisecond
	h := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	err := s.Write(testContext(t), []*connectors.Batch{batchOf("a", 0, keyed("a", 0, 20)...)})
	var failed *connectors.BatchError
	if !errors.As(err, &failed) || len(failed.Failed) != 20 || connectors.IsPermanent(err) || !strings.Contains(err.Error(), "min.insync.replicas") {
		t.Errorf("err = %v", err)
	}
	h.Remove()
	writeAll(t, s, "a", 0, 20, 20)
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 20, "t"), map[string]int{"a": 20})
}

// A topic that was deleted and created anew is written to again, without a false alarm about lost messages.
func TestSinkRecreatedTopic(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	s, host := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	writeAll(t, s, "a", 0, 30, 10)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 5000, []string{"t"}
	name := "t"
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
	if _, err := req.RequestWith(t.Context(), newClient(t, cluster)); err != nil {
		t.Fatal(err)
	}
	createTopic(t, cluster, "t")
	writeAll(t, s, "b", 0, 30, 10)
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 30, "t"), map[string]int{"b": 30})
	for _, e := range host.Events() {
		if e.Kind == connectors.Dropped {
			t.Errorf("a deliberate act is no loss: %s", e.Text)
		}
	}
}

// What may have been written stays here until its outcome is known, however long that takes: the bridge
// would write it again under another sequence.
func TestSinkKeepsWhatIsInDoubt(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	s, _ := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	s.producer.patience = time.Millisecond
	h := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 4})
	writeAll(t, s, "a", 0, 10, 10)
	if h.Hits() != 4 {
		t.Fatalf("%d faults", h.Hits())
	}
	checkLanes(t, readAll(t, cluster.ListenAddrs(), 10, "t"), map[string]int{"a": 10})
}

// A Write that is given up returns only when no request reads its messages any more.
func TestSinkAbandonWaitsForEncoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProducer(nil, nil, 0, 0, zerolog.Nop())
		w := &write{encoding: 1, parts: make([]part, 1)}
		w.parts[0] = part{write: w, target: &target{state: targetBusy}}
		w.parts[0].target.queue = []*part{&w.parts[0]}
		returned := false
		go func() {
			p.abandon(w)
			returned = true
		}()
		synctest.Wait()
		if returned {
			t.Error("abandon did not wait")
		}
		p.release(&request{parts: []*part{&w.parts[0]}})
		synctest.Wait()
		if !returned {
			t.Error("abandon still waits")
		}
	})
}

// A partition that gives out offsets again that it had acknowledged has lost messages, and that is said.
func TestSinkRewoundPartition(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, kfake.SeedTopics(1, "t"))
	s, host := openTestSink(t, cluster.ListenAddrs(), "t", nil)
	writeAll(t, s, "a", 0, 10, 10)
	s.producer.mu.Lock()
	s.producer.known()["t"].targets[0].last = 109 // as if more had been written before the leader changed
	s.producer.mu.Unlock()
	writeAll(t, s, "a", 10, 10, 10)
	e, err := host.AwaitEvent(testContext(t), connectors.Dropped)
	if err != nil || e.N != 100 || !strings.Contains(e.Text, "t/0") || !strings.Contains(e.Text, "offsets 10 to 109") {
		t.Errorf("%+v, %v", e, err)
	}
	writeAll(t, s, "a", 20, 10, 10)
	if n := len(host.Events()); n > 2 {
		t.Errorf("%d events: it was said more than once", n)
	}
}
