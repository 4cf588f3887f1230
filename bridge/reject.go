package bridge

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// reject disposes of a message that was refused for good, as on_reject says, or as the operator says of
// this one. Its error halts the route, unless the lane's context has ended.
func (w *writer) reject(b *connectors.Batch, at int, cause error) error {
	policy := w.route.cfg.OnReject
	if given := w.route.giveUp.Load(); given != nil && given.Place == placeOf(b, at) {
		policy = given.policy
		defer w.route.giveUp.CompareAndSwap(given, nil)
	}
	return w.disposeOf(policy, b, at, cause)
}

func placeOf(b *connectors.Batch, at int) telemetry.Place {
	return telemetry.Place{Partition: b.Partition, Offset: b.Messages[at].Offset}
}

// disposeOf does with a message what a policy says.
func (w *writer) disposeOf(policy Reject, b *connectors.Batch, at int, cause error) error {
	m := &b.Messages[at]
	w.tapRejected(b, m, cause)
	log := w.route.sampled.Warn().Err(cause).Str("partition", b.Partition).Int64("offset", m.Offset)
	switch policy {
	case Drop:
		w.route.counts.dropped.Add(1)
		log.Msg("message refused and dropped, as on_reject or the operator says")
		return nil
	case DeadLetter:
		attempts := w.retry.attempts
		if b.Reject == nil {
			attempts++
		}
		if err := w.writeLetters(b, []Letter{w.letterOf(b, m, cause, attempts)}, cause); err != nil {
			return err
		}
		log.Msg("message refused and dead-lettered")
		return nil
	default:
		log.Discard().Send()
		return w.blocks(haltRefused, placeOf(b, at), cause)
	}
}

// tapRejected shows a message that is rejected, as it was before its mapping.
func (w *writer) tapRejected(b *connectors.Batch, m *connectors.Message, cause error) {
	if w.route.taps.Load() != nil {
		w.route.tap(StageRejected, b, []connectors.Message{*original(m)}, cause)
	}
}

// blocks is the error of a message that was not disposed of.
func (w *writer) blocks(reason string, place telemetry.Place, cause error) error {
	name, giveUp := w.route.cfg.Name, " --skip"
	if w.route.cfg.DeadLetter == nil || reason == haltLetterRefused {
		giveUp = " --skip --drop"
	}
	way := fmt.Sprintf("mend the cause, then: sluice resume %s; or give this one message up: sluice resume %s%s", name, name, giveUp)
	return connectors.Halt(reason, way, &refusal{place, cause})
}

// writeLetters writes until the dead-letter sink has the letters, which are of b, of one partition, and
// there because of cause. It holds its lane meanwhile.
func (w *writer) writeLetters(b *connectors.Batch, letters []Letter, cause error) error {
	batch := *b
	batch.Partition, batch.Origin, batch.Reject, batch.Messages = letters[0].Partition, letters[0].Origin, nil, nil
	for i := range letters {
		batch.Messages = append(batch.Messages, letters[i].message())
	}
	w.p.enter(flowcontrol.BlockerDeadLetter)
	defer w.p.enter(flowcontrol.BlockerNone)
	retry := backoff{Retry: w.route.cfg.Retry}
	for {
		err := w.deadLetter.Write(w.p.ctx, []*connectors.Batch{&batch})
		if err != nil && w.p.ctx.Err() != nil {
			return w.p.ctx.Err()
		}
		left, refused := unwritten(batch.Messages, err)
		w.route.counts.deadLettered.Add(uint64(len(batch.Messages) - len(left)))
		switch {
		case refused != nil:
			place := telemetry.Place{Partition: b.Partition, Offset: left[0].Offset}
			return w.blocks(haltLetterRefused, place, fmt.Errorf("%w, and the dead-letter sink refuses it too: %w", cause, refused))
		case len(left) == 0:
			return nil
		}
		batch.Messages = left
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

// unwritten returns the messages of one batch that a Write which returned err did not write. If one of
// them was refused for good, it is the first and refused says why.
func unwritten(messages []connectors.Message, err error) (left []connectors.Message, refused error) {
	var partial *connectors.BatchError
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &partial) && connectors.IsPermanent(err):
		return messages, err
	case partial == nil:
		return messages, nil
	}
	for _, f := range partial.Failed {
		m := messages[f.Index]
		if refused == nil && connectors.IsPermanent(f.Err) {
			left, refused = slices.Insert(left, 0, m), f.Err
			continue
		}
		left = append(left, m)
	}
	return left, refused
}

// letterOf returns the dead letter of a message of b.
func (w *writer) letterOf(b *connectors.Batch, m *connectors.Message, cause error, attempts int) Letter {
	letter := Letter{
		Reason: reasonOf(cause), Route: w.route.cfg.Name, Partition: b.Partition, Origin: b.Origin,
		Attempts: attempts, Time: time.Now(), Undecoded: b.Reject != nil, Message: *original(m),
	}
	if r := w.route.cfg.redrive; r != nil {
		r.refused(&letter)
	}
	return letter
}
