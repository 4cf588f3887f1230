package bridge

import (
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
)

// dispose does with stale messages of a batch what the route says.
func (w *writer) dispose(b *connectors.Batch, old []connectors.Message) error {
	stale := w.route.cfg.Stale
	what := "dropped"
	if stale.DeadLetter {
		what = "dead-lettered"
		cause := fmt.Errorf("stale: older than %v", stale.OlderThan)
		letters := make([]Letter, len(old))
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
