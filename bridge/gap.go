package bridge

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

const (
	// keptGaps is how many gaps a route remembers, so that none is counted twice.
	keptGaps = 64
	// statusGaps is how many of them a status shows: the latest.
	statusGaps = 16
)

// gaps are the ranges of source data that vanished before they were read. They outlive runs.
type gaps struct {
	mu  sync.Mutex
	all []gap // the latest, oldest first
}

type gap struct {
	telemetry.GapStatus
	accepted bool // the operator has let the route go on behind it
}

// note takes in a gap and returns how many positions of it are news, and whether the operator has accepted
// it. One that begins where a known one does is that one, grown meanwhile.
func (g *gaps) note(found telemetry.GapStatus) (news int64, accepted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.all {
		known := &g.all[i]
		if known.Partition != found.Partition || known.From != found.From {
			continue
		}
		if news = found.To - known.To; news > 0 {
			known.To, known.Time = found.To, found.Time
		}
		return max(0, news), known.accepted
	}
	if len(g.all) == keptGaps {
		g.all = slices.Delete(g.all, 0, 1)
	}
	g.all = append(g.all, gap{GapStatus: found})
	return found.To - found.From, false
}

// accept lets the route go on behind all gaps that are known.
func (g *gaps) accept() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.all {
		g.all[i].accepted = true
	}
}

func (g *gaps) status() []telemetry.GapStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	var shown []telemetry.GapStatus
	for i := max(0, len(g.all)-statusGaps); i < len(g.all); i++ {
		shown = append(shown, g.all[i].GapStatus)
	}
	return shown
}

// Gap implements connectors.Host.
func (h *sourceHost) Gap(partition string, from, to int64) error {
	if to <= from {
		return nil
	}
	r := h.route
	news, accepted := r.gaps.note(telemetry.GapStatus{Partition: partition, From: from, To: to, Time: time.Now()})
	if news > 0 {
		total := r.counts.gapMessages.Add(uint64(news))
		r.counts.gaps.Add(1)
		r.sampled.Warn().Str("partition", partition).Int64("from", from).Int64("to", to).
			Int64("messages", to-from).Uint64("messages_in_all", total).
			Msg("gap: source data vanished before it was read; the range ends before to and counts positions, messages or not")
	}
	if !r.cfg.HaltOnGap || accepted {
		return nil
	}
	err := connectors.Halt(haltGap, "sluice resume "+r.cfg.Name,
		fmt.Errorf("%s: [%d, %d) vanished before it was read, at most %d messages; resume goes on behind it", partition, from, to, to-from))
	h.halt.set(haltGap, err)
	return err
}
