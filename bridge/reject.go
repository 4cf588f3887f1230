package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// The headers a dead letter carries besides its own.
const (
	headerReason   = "Dead-Letter-Reason"
	headerRoute    = "Dead-Letter-Route"
	headerPosition = "Dead-Letter-Position" // partition and offset, such as orders/3@42
	headerAttempts = "Dead-Letter-Attempts"
	headerTime     = "Dead-Letter-Time" // RFC 3339
)

// reject disposes of a message that was refused for good. Its error halts the route, unless the lane's
// context has ended.
func (w *writer) reject(b *connectors.Batch, at int, cause error) error {
	m := &b.Messages[at]
	log := w.route.sampled.Warn().Err(cause).Str("partition", b.Partition).Int64("offset", m.Offset)
	switch w.route.cfg.OnReject {
	case Drop:
		w.route.counts.dropped.Add(1)
		log.Msg("message refused and dropped, as on_reject says")
		return nil
	case DeadLetter:
		if err := w.writeDeadLetter(b, m, cause); err != nil {
			return err
		}
		w.route.counts.deadLettered.Add(1)
		log.Msg("message refused and dead-lettered")
		return nil
	default:
		log.Discard().Send()
		return connectors.Permanent(fmt.Errorf("%s offset %d was refused: %w", b.Partition, m.Offset, cause))
	}
}

// writeDeadLetter writes until the dead-letter sink has the message. It holds its lane meanwhile.
func (w *writer) writeDeadLetter(b *connectors.Batch, m *connectors.Message, cause error) error {
	letter := *b
	letter.Reject = nil
	letter.Messages = []connectors.Message{w.deadLetterOf(b, m, cause)}
	w.p.enter(flowcontrol.BlockerDeadLetter)
	defer w.p.enter(flowcontrol.BlockerNone)
	retry := backoff{Retry: w.route.cfg.Retry}
	for {
		err := w.deadLetter.Write(w.p.ctx, []*connectors.Batch{&letter})
		switch {
		case err == nil:
			return nil
		case w.p.ctx.Err() != nil:
			return w.p.ctx.Err()
		case refused(err):
			return connectors.Permanent(fmt.Errorf("%s offset %d was refused (%w), and the dead-letter sink refused it too: %w",
				b.Partition, m.Offset, cause, err))
		}
		text := "dead-letter sink: " + err.Error()
		w.p.lastErr.Store(&text)
		w.p.attempts.Add(1)
		w.p.signal()
		w.route.counts.retries.Add(1)
		if err := retry.next(w.p.ctx); err != nil {
			return err
		}
	}
}

// refused reports whether a Write of one message failed for good.
func refused(err error) bool {
	var partial *connectors.BatchError
	if errors.As(err, &partial) {
		return slices.ContainsFunc(partial.Failed, func(f connectors.Failure) bool { return connectors.IsPermanent(f.Err) })
	}
	return connectors.IsPermanent(err)
}

// deadLetterOf returns the message with what a person needs to judge it.
func (w *writer) deadLetterOf(b *connectors.Batch, m *connectors.Message, cause error) connectors.Message {
	letter := *m
	letter.Headers = append(slices.Clone(m.Headers),
		connectors.Header{Key: headerReason, Value: []byte(cause.Error())},
		connectors.Header{Key: headerRoute, Value: []byte(w.route.cfg.Name)},
		connectors.Header{Key: headerPosition, Value: fmt.Appendf(nil, "%s@%d", b.Partition, m.Offset)},
		connectors.Header{Key: headerAttempts, Value: strconv.AppendInt(nil, int64(w.p.attempts.Load())+1, 10)},
		connectors.Header{Key: headerTime, Value: time.Now().UTC().AppendFormat(nil, time.RFC3339Nano)},
	)
	return letter
}
