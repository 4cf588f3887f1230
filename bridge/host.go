package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
)

// sourceHost is what a run lends its source.
type sourceHost struct{ *run }

// Assign implements connectors.Host.
func (h *sourceHost) Assign(ctx context.Context, partition string) (next int64, known bool, err error) {
	if stored, ok := h.sink.(connectors.Positioner); ok {
		if next, known, err = stored.Position(ctx, partition); err != nil {
			return 0, false, fmt.Errorf("sink's position of %s: %w", partition, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.assigned = true
	if h.partitions[partition] == nil {
		h.addPartition(partition)
	}
	return next, known, nil
}

// Revoke implements connectors.Host.
func (h *sourceHost) Revoke(ctx context.Context, partitions ...string) {
	for _, p := range h.find(partitions) {
		h.settle(ctx, p)
	}
	for _, p := range h.find(partitions) {
		h.forget(p)
	}
}

func (h *sourceHost) find(names []string) []*partition {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*partition
	for _, name := range names {
		if p := h.partitions[name]; p != nil {
			found = append(found, p)
		}
	}
	return found
}

// settle waits until all of the partition is committed, its lane is in retry, or ctx ends.
func (h *sourceHost) settle(ctx context.Context, p *partition) {
	for p.tracker.Open() > 0 && !p.inRetry() {
		select {
		case <-p.changed:
		case <-ctx.Done():
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// forget cancels what is left of a partition (I9). It returns when nothing of it is being written, so
// that a lane that comes back never has two writers (I4).
func (h *sourceHost) forget(p *partition) {
	p.gone.Store(true)
	h.open.Add(-p.tracker.Revoke())
	h.mu.Lock()
	delete(h.partitions, p.name)
	done := p.done
	h.mu.Unlock()
	p.cancel()
	if done != nil {
		<-done
	}
	h.nudgeUncommitted()
}

// Report implements connectors.Host.
func (h *sourceHost) Report(ev connectors.Event) {
	if ev.Kind == connectors.Halted {
		err := ev.Err
		if err == nil {
			err = errors.New(ev.Text)
		}
		if ev.Partition != "" {
			err = fmt.Errorf("%s: %w", ev.Partition, err)
		}
		h.halt.set(haltSource, err)
		return
	}
	h.route.report(&h.route.health.source, ev)
}

// sinkHost is what a route lends its sink. Sinks have no partitions.
type sinkHost struct{ route *Route }

var errNoPartitions = errors.New("a sink has no partitions to assign")

// Assign implements connectors.Host.
func (h *sinkHost) Assign(context.Context, string) (int64, bool, error) {
	return 0, false, errNoPartitions
}

// Revoke implements connectors.Host.
func (h *sinkHost) Revoke(context.Context, ...string) {}

// Unpositioned implements connectors.Host.
func (h *sinkHost) Unpositioned(context.Context, connectors.Range) error { return errNoPartitions }

// Gap implements connectors.Host.
func (h *sinkHost) Gap(string, int64, int64) error { return errNoPartitions }

// Report implements connectors.Host.
func (h *sinkHost) Report(ev connectors.Event) { h.route.report(&h.route.health.sink, ev) }

// deadLetterHost is a sinkHost whose connection is not the route's: it is seen when it is needed.
type deadLetterHost struct{ sinkHost }

// Report implements connectors.Host.
func (h *deadLetterHost) Report(ev connectors.Event) {
	if ev.Kind == connectors.Dropped {
		h.route.report(&h.route.health.sink, ev)
	}
}

// report takes in what one end of a route sees.
func (r *Route) report(end *endHealth, ev connectors.Event) {
	switch ev.Kind {
	case connectors.Refetched:
		r.counts.refetched.Add(uint64(ev.N))
	case connectors.Dropped:
		r.counts.dropped.Add(uint64(ev.N))
		r.sampled.Warn().Err(ev.Err).Int64("messages", ev.N).Str("where", ev.Text).Msg("messages dropped")
	default:
		r.health.report(end, ev)
		if share := r.share.Load(); share != nil && end == &r.health.sink {
			noteSink(share, ev)
		}
	}
}
