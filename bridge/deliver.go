package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// writer delivers what one lane holds, one Write at a time (I4). Batches and flights are parallel: what
// is still to be delivered of flights[i] is batches[i], which is a view once a part is acknowledged.
type writer struct {
	*run
	p          *partition
	taken      []*flight
	flights    []*flight
	batches    []*connectors.Batch
	size       writeSize
	sampled    []sampled // of the Write: those that get a span
	suppressed int       // about how many get none, although their producer was sampled
	retry      backoff
	shaper     *shaper // while it delivers, where the route filters or maps
}

// deliver is the goroutine of one lane. It ends when the lane is closed and empty, when the partition
// is revoked, at the hard end, or when it has halted the route.
func (n *run) deliver(p *partition) {
	w := &writer{run: n, p: p, retry: backoff{Retry: n.route.cfg.Retry}}
	for {
		var ok bool
		var err error
		w.taken, ok, err = p.lane.Take(p.ctx, w.taken)
		if err != nil || !ok {
			break
		}
		if err := w.writeAll(w.taken); err != nil {
			if p.ctx.Err() == nil {
				n.halt.set(haltSink, err)
			}
			break
		}
		p.oldest.Store(nil)
	}
	w.abandon()
}

// abandon gives back the room of what will not be delivered. It stays uncommitted and comes again.
func (w *writer) abandon() {
	w.p.first = w.p.oldest.Load()
	w.p.lane.Close()
	w.abandonFlights(w.taken)
	w.taken, _, _ = w.p.lane.Take(context.Background(), w.taken)
	w.abandonFlights(w.taken)
	w.p.oldest.Store(nil)
}

func (w *writer) abandonFlights(flights []*flight) {
	for _, f := range flights {
		if f.left == 0 {
			continue
		}
		if w.p.first == nil {
			w.p.first = oldestOf(f, &f.batch.Messages[0])
		}
		cost := flowcontrol.Cost{Messages: int64(f.left), Bytes: f.cost.Bytes}
		w.p.abandoned.Messages += cost.Messages
		w.p.abandoned.Bytes += cost.Bytes
		w.release(cost)
		w.p.lane.Release(cost.Messages)
		f.left = 0
	}
}

// writeAll delivers flights. Its error halts the route, unless the lane's context has ended. Batches
// that the source could not decode go to the reject policy in their turn.
func (w *writer) writeAll(flights []*flight) error {
	for len(flights) > 0 {
		n := portion(flights, w.size.limit(w.window.Limit().Messages))
		if err := w.writeUntilDone(flights[:n]); err != nil {
			return err
		}
		flights = flights[n:]
		if len(flights) == 0 || flights[0].batch.Reject == nil {
			continue
		}
		f := flights[0]
		w.p.oldest.Store(oldestOf(f, &f.batch.Messages[0]))
		if err := w.reject(f.batch, 0, f.batch.Reject); err != nil {
			return err
		}
		w.acknowledged(f, f.left)
		flights = flights[1:]
	}
	return nil
}

// portion returns how many of flights the next Write takes: those before the first that could not be
// decoded, up to limit messages, but at least one.
func portion(flights []*flight, limit int) int {
	messages := 0
	for i, f := range flights {
		messages += len(f.batch.Messages)
		if f.batch.Reject != nil || i > 0 && messages > limit {
			return i
		}
	}
	return len(flights)
}

// writeUntilDone writes until every message is acknowledged or disposed of by the reject policy.
func (w *writer) writeUntilDone(flights []*flight) error {
	w.flights, w.batches = append(w.flights[:0], flights...), w.batches[:0]
	for _, f := range flights {
		w.batches = append(w.batches, f.batch)
	}
	if err := w.giveUpAny(); err != nil {
		return err
	}
	if w.route.cfg.shapes() {
		return w.writeShaped()
	}
	return w.writeReady()
}

// writeReady writes what is in batches until it is done.
func (w *writer) writeReady() error {
	defer w.calm()
	for len(w.batches) > 0 {
		w.p.oldest.Store(oldestOf(w.flights[0], &w.batches[0].Messages[0]))
		begin := time.Now()
		if err := w.sift(begin); err != nil {
			return err
		}
		if len(w.batches) == 0 {
			break
		}
		if w.route.tracing {
			w.lookForTraces(begin)
		}
		err := w.sink.Write(w.p.ctx, w.batches)
		if w.p.ctx.Err() != nil && err != nil {
			return w.p.ctx.Err()
		}
		if connectors.IsPermanent(err) && !isBatchError(err) {
			return err
		}
		retryable, reject := w.settle(err, begin)
		if reject != nil {
			return reject
		}
		if retryable == nil {
			continue
		}
		if err := w.waitToRetry(retryable); err != nil {
			return err
		}
	}
	return nil
}

func isBatchError(err error) bool {
	var b *connectors.BatchError
	return errors.As(err, &b)
}

// settle takes what a Write acknowledged out of flights and batches and gives what was refused to the
// reject policy. What stays is to be written again, because of retryable; reject halts the route.
func (w *writer) settle(err error, begin time.Time) (retryable, reject error) {
	var failed []connectors.Failure
	if err != nil {
		var partial *connectors.BatchError
		if !errors.As(err, &partial) {
			return err, nil
		}
		failed = partial.Failed
	}
	now := time.Now()
	if len(failed) < w.messages() {
		w.progressed(now)
	}
	if err == nil && w.route.tracing {
		w.trace(now)
	}
	kept, base, written := 0, 0, 0
	var residence time.Duration // of all messages together
	for i, b := range w.batches {
		f, size := w.flights[i], len(b.Messages)
		mine := 0
		for mine < len(failed) && failed[mine].Index < base+size {
			mine++
		}
		var again []connectors.Message
		for _, failure := range failed[:mine] {
			at := failure.Index - base
			switch {
			case !connectors.IsPermanent(failure.Err):
				again = append(again, b.Messages[at])
				retryable = failure.Err
			case reject == nil:
				if reject = w.reject(b, at, failure.Err); reject == nil {
					w.progressed(time.Now())
				}
			}
		}
		failed = failed[mine:]
		base += size
		if reject != nil {
			return nil, reject
		}
		if done := size - len(again); done > 0 {
			written += done
			residence += time.Duration(done) * now.Sub(f.fetched)
			w.acknowledged(f, done)
		}
		if len(again) > 0 {
			view := *b
			view.Messages = again
			w.batches[kept], w.flights[kept] = &view, f
			kept++
		}
	}
	clear(w.batches[kept:])
	w.batches, w.flights = w.batches[:kept], w.flights[:kept]
	w.sized(now, written, residence)
	w.size.wrote(written, now.Sub(begin))
	w.route.watch.Wrote(now.Sub(begin), written)
	return retryable, nil
}

// messages is how many the Write was given.
func (w *writer) messages() (n int) {
	for _, b := range w.batches {
		n += len(b.Messages)
	}
	return n
}

// progressed notes that something was acknowledged or disposed of. A Write that brought nothing to an end is
// no acknowledgement, although the sink has answered.
func (w *writer) progressed(now time.Time) {
	w.route.health.sinkWorked()
	w.passed(now)
}

// passed notes that something was done with, whether by the sink or without it.
func (w *writer) passed(now time.Time) {
	w.p.acked.Store(now.UnixNano())
	w.route.clock.Ack(now)
}

// acknowledged gives back the room of messages of a flight and, with its last one, the payload (I1: only
// then may it settle).
func (w *writer) acknowledged(f *flight, messages int) {
	f.left -= messages
	cost := flowcontrol.Cost{Messages: int64(messages)}
	if f.left == 0 {
		w.recycle(f.batch)
		cost.Bytes = f.cost.Bytes
		if !f.stored.IsZero() {
			w.route.watch.Delivered(time.Since(f.stored))
		}
	}
	w.p.lane.Release(cost.Messages)
	w.release(cost)
	w.route.counts.acknowledged.Add(uint64(messages))
	if f.left == 0 && w.p.tracker.Finish(f.ticket) {
		w.settled.add(w.p)
	}
	w.released(w.p)
}

// waitToRetry shows that the lane is in retry and waits for the next attempt.
func (w *writer) waitToRetry(err error) error {
	text := err.Error()
	w.p.lastErr.Store(&text)
	w.p.attempts.Add(1)
	w.p.enter(flowcontrol.BlockerRetry)
	w.p.signal()
	w.route.counts.retries.Add(1)
	return w.retry.next(w.p.ctx)
}

// calm says that nothing of the lane is in retry any more.
func (w *writer) calm() {
	w.retry.reset()
	if w.p.attempts.Swap(0) > 0 {
		w.p.lastErr.Store(nil)
		w.p.enter(flowcontrol.BlockerNone)
	}
}
