package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// heldOrigins is how many origins are remembered, besides those that were asked for.
const heldOrigins = 4096

// held is what a sink was found to hold of a source: the highest offset of each origin.
type held struct {
	token   chan struct{} // capacity 1: who holds it looks
	tail    tail
	highest map[string]int64 // by origin
	crowded bool             // there were more origins than are remembered
}

func newHeld() *held { return &held{token: make(chan struct{}, 1), highest: map[string]int64{}} }

// find returns the highest offset of an origin in the sink. It waits while the sink is away. A Permanent
// error says that the sink cannot be read.
func (h *held) find(ctx context.Context, r *Route, origin string) (offset int64, found bool, err error) {
	select {
	case h.token <- struct{}{}:
		defer func() { <-h.token }()
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	if _, known := h.highest[origin]; !known && h.crowded {
		h.tail, h.crowded = tail{}, false // it may have been passed over
	}
	retry := backoff{Retry: r.cfg.Retry}
	defer r.health.lookFailed(nil)
	for {
		err := h.look(ctx, r, origin)
		if offset, found = h.highest[origin]; found || err == nil || connectors.IsPermanent(err) {
			return offset, found, err
		}
		if r.health.lookFailed(err) {
			r.log.Warn().Err(err).Msg("the source has no position; where it begins depends on what the sink holds, which is waited for")
		}
		if err := retry.next(ctx); err != nil {
			return 0, false, err
		}
	}
}

// look goes on looking until the origin is found or there is nothing left.
func (h *held) look(ctx context.Context, r *Route, origin string) error {
	if _, found := h.highest[origin]; found || h.tail.parts != nil && h.tail.left() == 0 {
		return nil
	}
	log, err := r.cfg.Sink.Log(ctx, r.env(&sinkHost{r}, r.cfg.Map))
	if err != nil {
		return err
	}
	defer r.closeAside(ctx, log)
	if err := h.tail.begin(ctx, log); err != nil {
		return err
	}
	begin, before, found := time.Now(), h.tail.looked, false
	for !found && h.tail.left() > 0 {
		err := h.tail.back(ctx, log, func(_ int, m *connectors.Message) {
			if o, ok := originOf(m); ok {
				h.see(o, string(o.Partition) == origin)
			}
		})
		if err != nil {
			return err
		}
		_, found = h.highest[origin]
	}
	if far := h.tail.looked - before; far > tailFirst*int64(len(h.tail.parts)) {
		r.log.Info().Str("origin", origin).Int64("positions", far).Bool("all", h.tail.left() == 0).Dur("took", time.Since(begin)).
			Msg("looked back through the sink for messages of this source")
	}
	return nil
}

// see takes in where a message of the sink was read.
func (h *held) see(o connectors.Origin, asked bool) {
	offset, known := h.highest[string(o.Partition)]
	switch {
	case known && o.Offset <= offset:
	case known || asked || len(h.highest) < heldOrigins:
		h.highest[string(o.Partition)] = o.Offset
	default:
		h.crowded = true
	}
}

// closeAside closes a log or positions that were opened for a look.
func (r *Route) closeAside(ctx context.Context, one interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := one.Close(ctx); err != nil {
		r.log.Debug().Err(err).Msg("closing what was looked at")
	}
}

// unnoticed says why a lost position of the source would not be noticed; empty: it would be.
func (r *Route) unnoticed() string {
	switch {
	case r.cfg.Source.Positions == nil:
		return ""
	case !r.cfg.Headers:
		return "headers: none leaves no trace of what the sink holds"
	case r.cfg.Sink.Log == nil:
		return "what the sink has cannot be read again"
	}
	return ""
}

// Unpositioned implements connectors.Host.
func (h *sourceHost) Unpositioned(ctx context.Context, at connectors.Range) error {
	r := h.route
	if !r.cfg.Headers || r.cfg.Sink.Log == nil || at.Origin == "" {
		return nil
	}
	offset, found, err := h.held.find(ctx, r, at.Origin)
	switch {
	case found:
		return r.positionLost(at, offset)
	case connectors.IsPermanent(err):
		r.log.Warn().Err(err).Str("partition", at.Partition).
			Msg("the sink may not be read, so nobody knows whether it holds messages of this source; they would be doubled")
		return nil
	}
	return err
}

// positionLost is the halt of a source that has no position although the sink holds its messages up to offset.
func (r *Route) positionLost(at connectors.Range, offset int64) error {
	name := r.cfg.Name
	if offset >= at.End {
		return connectors.Halt(haltRecreated, fmt.Sprintf("sluice position %s set --to earliest", name),
			fmt.Errorf("%s has no committed position and ends at %d, but the sink holds its messages up to %d: it was deleted and created anew, or truncated",
				at.Partition, at.End, offset))
	}
	return connectors.Halt(haltLost, fmt.Sprintf("sluice position %s set --to sink", name),
		fmt.Errorf("%s has no committed position, but the sink holds its messages up to %d; if another route wrote them and this one is new: sluice position %s set --to earliest",
			at.Partition, offset, name))
}
