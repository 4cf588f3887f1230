package bridge

import (
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// sift takes out of what is about to be written, at now, what the route does not write. Its error halts
// the route, unless the lane's context has ended.
func (w *writer) sift(now time.Time) error {
	stale := w.route.cfg.Stale
	if stale.OlderThan == 0 {
		return nil
	}
	before := now.Add(-stale.OlderThan)
	kept := 0
	for i, b := range w.batches {
		f := w.flights[i]
		rest, old := split(b.Messages, before)
		if len(old) > 0 {
			if err := w.dispose(b, old); err != nil {
				return err
			}
			w.acknowledged(f, len(old))
		}
		switch {
		case len(rest) == 0:
			continue
		case len(old) > 0:
			view := *b
			view.Messages = rest
			b = &view
		}
		w.batches[kept], w.flights[kept] = b, f
		kept++
	}
	if kept < len(w.batches) {
		w.p.acked.Store(now.UnixNano())
		w.route.clock.Ack(now)
	}
	clear(w.batches[kept:])
	w.batches, w.flights = w.batches[:kept], w.flights[:kept]
	return nil
}

// split parts messages by their time. Where all are of one kind it allocates nothing.
func split(messages []connectors.Message, before time.Time) (rest, old []connectors.Message) {
	for i := range messages {
		m := &messages[i]
		stale := !m.Time.IsZero() && m.Time.Before(before)
		switch {
		case stale && len(rest) == 0:
			old = messages[: i+1 : i+1]
		case !stale && len(old) == 0:
			rest = messages[: i+1 : i+1]
		case stale:
			old = append(old, *m)
		default:
			rest = append(rest, *m)
		}
	}
	return rest, old
}

// dispose does with stale messages of a batch what the route says.
func (w *writer) dispose(b *connectors.Batch, old []connectors.Message) error {
	stale := w.route.cfg.Stale
	what := "dropped"
	if stale.DeadLetter {
		what = "dead-lettered"
		cause := fmt.Errorf("stale: older than %v", stale.OlderThan)
		letters := make([]connectors.Message, len(old))
		for i := range old {
			letters[i] = w.letterOf(b, &old[i], cause, w.retry.attempts)
		}
		if err := w.writeLetters(b, letters, cause); err != nil {
			return err
		}
	}
	w.route.counts.stale.Add(uint64(len(old)))
	w.route.sampled.Warn().Str("partition", b.Partition).Int64("offset", old[0].Offset).Int("messages", len(old)).
		Time("oldest", old[0].Time).Msg("messages older than " + stale.OlderThan.String() + " " + what + ", as stale says")
	return nil
}

func (s Stale) String() string {
	switch {
	case s.OlderThan == 0:
		return ""
	case s.DeadLetter:
		return "messages older than " + s.OlderThan.String() + " are dead-lettered"
	}
	return "messages older than " + s.OlderThan.String() + " are dropped"
}
