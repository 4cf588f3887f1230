package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// heldFirst is how far the first look goes back, in positions of each of the sink's partitions; each
	// further one goes heldGrowth times as far, up to heldMost.
	heldFirst  = 1024
	heldGrowth = 4
	heldMost   = 64 << 10
	// heldLimit is how far back a sink is looked through at most, in positions over all its partitions. Who
	// writes so much beside a route between two starts of it does not get the check.
	heldLimit = 2_000_000
	// heldOrigins is how many origins are remembered, besides those that were asked for.
	heldOrigins = 4096
)

// held is what a sink was found to hold of a source, looking backwards from its end: the highest offset of
// each origin. It lasts as long as a run.
type held struct {
	token   chan struct{} // capacity 1: who holds it looks
	parts   []heldPart    // nil: not looked yet
	looked  int64
	highest map[string]int64 // by origin
	crowded bool             // there were more origins than are remembered
}

// heldPart is what is left to look through of a partition of the sink: positions [first, end).
type heldPart struct {
	name       string
	first, end int64
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
		h.parts, h.looked, h.crowded = nil, 0, false // it may have been passed over
	}
	retry := backoff{Retry: r.cfg.Retry}
	for {
		err := h.look(ctx, r, origin)
		if offset, found = h.highest[origin]; found || err == nil || connectors.IsPermanent(err) {
			return offset, found, err
		}
		r.log.Debug().Err(err).Msg("looking for what the sink holds; it is tried again")
		if err := retry.next(ctx); err != nil {
			return 0, false, err
		}
	}
}

// look goes on looking until the origin is found or there is nothing left.
func (h *held) look(ctx context.Context, r *Route, origin string) error {
	if _, found := h.highest[origin]; found || h.parts != nil && h.left() == 0 {
		return nil
	}
	log, err := r.cfg.Sink.Log(ctx, r.env(&sinkHost{r}, r.cfg.Map))
	if err != nil {
		return err
	}
	defer r.closeLog(ctx, log)
	if h.parts == nil {
		all, err := log.Ranges(ctx)
		if err != nil {
			return err
		}
		h.parts = make([]heldPart, 0, len(all))
		for _, one := range all {
			h.parts = append(h.parts, heldPart{one.Partition, one.First, one.End})
		}
	}
	begin, before := time.Now(), h.looked
	for chunk := int64(heldFirst); h.left() > 0; chunk = min(heldGrowth*chunk, heldMost) {
		for i := range h.parts {
			if err := h.back(ctx, log, &h.parts[i], chunk, origin); err != nil {
				return err
			}
		}
		if _, found := h.highest[origin]; found {
			break
		}
	}
	if far := h.looked - before; far > heldFirst*int64(len(h.parts)) {
		r.log.Info().Str("origin", origin).Int64("positions", far).Bool("all", h.left() == 0).Dur("took", time.Since(begin)).
			Msg("looked back through the sink for messages of this source")
	}
	return nil
}

// left returns how many positions may still be looked through.
func (h *held) left() (n int64) {
	for i := range h.parts {
		n += h.parts[i].end - h.parts[i].first
	}
	return max(0, min(n, heldLimit-h.looked))
}

// back looks through the last positions of what is left of a partition, for origin most of all.
func (h *held) back(ctx context.Context, log connectors.Log, p *heldPart, chunk int64, origin string) error {
	from := max(p.first, p.end-chunk)
	if from >= p.end {
		return nil
	}
	err := log.Read(ctx, p.name, from, p.end, func(m *connectors.Message) error {
		if o, ok := connectors.ParseOrigin(connectors.FindOrigin(m.Headers)); ok {
			h.see(o, string(o.Partition) == origin)
		}
		return nil
	})
	if err != nil {
		return err
	}
	h.looked += p.end - from
	p.end = from
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

// closeLog closes a log that was opened for a look.
func (r *Route) closeLog(ctx context.Context, log connectors.Log) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		r.log.Debug().Err(err).Msg("closing a log")
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
