package kafka

import (
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// defaultPatience is how long a batch that is definitely not written is tried again here before its
// messages go back to the bridge with the error: long enough for an election, short enough to be seen.
const defaultPatience = 5 * time.Second

// settle draws the consequences of a batch's outcome: it is done, it is cut in two, it goes back, or the
// same is sent again. p.mu is held.
func (p *producer) settle(part *part, o outcome) {
	t := part.target
	t.state = targetIdle
	if o.open {
		part.doubt = true
	}
	switch {
	case part.write.abandoned:
		p.settleAbandoned(part, o)
	case o.err == nil || o.code == codeDuplicateSequence:
		p.accept(part, o)
	case o.unsent:
		part.unseal()
		p.retry(part, o)
	case o.code.class() == classRefused:
		p.refused(part, o)
	case o.code.class() == classSequence:
		p.resequence(part, o)
	default:
		p.retry(part, o)
	}
}

// settleAbandoned forgets a part whose Write was given up while its request was under way.
func (p *producer) settleAbandoned(part *part, o outcome) {
	t := part.target
	switch {
	case !o.unsent && (o.err == nil || o.code == codeDuplicateSequence):
		p.advance(part, o)
	case part.doubt:
		t.spoil()
	}
	t.queue = t.queue[1:]
	p.ready(t)
}

// advance counts an acknowledged batch.
func (p *producer) advance(part *part, o outcome) {
	t := part.target
	t.sequence = int32((int64(t.sequence) + int64(part.sealed)) & 0x7fffffff) // wraps as Kafka's does
	if o.err == nil && o.base >= 0 {
		if o.base <= t.last {
			t.rewound = &rewind{from: o.base, to: t.last}
			p.refreshSoon()
		}
		t.last = o.base + int64(part.sealed) - 1
	}
	t.attempts = 0
	// Feeling upwards, for one large message may be all that was wrong.
	t.limit.bytes = min(t.limit.most, t.limit.bytes+t.limit.bytes/16)
}

// accept ends a batch that is written.
func (p *producer) accept(part *part, o outcome) {
	p.advance(part, o)
	part.done += part.sealed
	p.next(part)
}

// next goes on behind a batch that is settled.
func (p *producer) next(part *part) {
	t := part.target
	part.sealed, part.doubt, part.again = 0, false, false
	// The search for a refused message is over, or goes on in larger steps.
	if part.atMost *= 2; part.atMost >= len(part.order) {
		part.atMost = 0
	}
	if part.done == len(part.order) {
		p.finish(part)
	}
	p.ready(t)
}

// finish ends a part.
func (p *producer) finish(part *part) {
	part.target.queue = part.target.queue[1:]
	w := part.write
	if w.left--; w.left == 0 {
		w.finished <- struct{}{}
	}
}

// refused searches the message that is to blame: the batch is cut in halves until it is alone. A refused
// batch has used no sequence number.
func (p *producer) refused(part *part, o outcome) {
	t := part.target
	t.attempts = 0
	switch {
	case o.code == codeCorruptMessage && !part.again:
		part.again = true // it may have been damaged on its way
		p.ready(t)
		return
	case part.sealed == 1:
		part.refuse(o.err)
		part.atMost = 1
		p.next(part)
		return
	}
	if o.code == codeMessageTooLarge {
		t.limit.bytes = max(t.limit.bytes/2, 4<<10)
	}
	part.atMost = max(1, part.sealed/2)
	part.sealed, part.again = 0, false // a doubt stays: an earlier attempt may have been accepted
	p.ready(t)
}

// resequence goes on under a new producer id where the partition does not know our sequence. That is safe
// unless an earlier attempt may have been written, which then is said.
func (p *producer) resequence(part *part, o outcome) {
	t := part.target
	err := o.err
	if part.doubt {
		err = fmt.Errorf("%d messages may be doubled: an attempt to write them had no answer, and the partition has lost its account since: %w",
			part.sealed, o.err)
		p.log.Warn().Err(err).Str("topic", t.topic).Int32("partition", t.number).Msg("messages may be doubled")
		p.conn.report(connectors.Event{Kind: connectors.Retrying, Err: err})
	}
	t.spoil()
	part.sealed, part.doubt, part.again = 0, false, false
	p.again(t, err)
}

// retry sends the same batch again after a while. One that is definitely not written is given back to the
// bridge when it has been tried for long enough.
func (p *producer) retry(part *part, o outcome) {
	t := part.target
	if !part.doubt && t.attempts > 0 && time.Since(t.since) >= p.patience {
		t.attempts = 0
		part.giveUp(o.err)
		p.finish(part)
		p.ready(t)
		return
	}
	p.again(t, o.err)
}
