package connectortest

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// Host is a connectors.Host for tests. It knows no position, revokes at once, and keeps what it was
// told. All methods may be called from any goroutine.
type Host struct {
	// OnAssign and OnRevoke, if set before the host is used, decide what the methods do.
	OnAssign func(ctx context.Context, partition string) (next int64, known bool, err error)
	OnRevoke func(ctx context.Context, partitions ...string)

	// OnUnpositioned and OnGap, if set before the host is used, decide what the methods answer.
	OnUnpositioned func(ctx context.Context, at connectors.Range) error
	OnGap          func(Gap) error

	mu           sync.Mutex
	assigned     []string
	gaps         []Gap
	unpositioned []connectors.Range
	revoked      []string
	events       []connectors.Event
	faults       []string
	changed      chan struct{} // closed at the next event; nil while nobody waits
}

// NewHost returns a host.
func NewHost() *Host { return &Host{} }

// Assign implements connectors.Host.
func (h *Host) Assign(ctx context.Context, partition string) (next int64, known bool, err error) {
	h.noteCaller("Assign")
	h.mu.Lock()
	h.assigned = append(h.assigned, partition)
	h.mu.Unlock()
	if h.OnAssign != nil {
		return h.OnAssign(ctx, partition)
	}
	return 0, false, ctx.Err()
}

// Revoke implements connectors.Host.
func (h *Host) Revoke(ctx context.Context, partitions ...string) {
	h.noteCaller("Revoke")
	if h.OnRevoke != nil {
		h.OnRevoke(ctx, partitions...)
	}
	h.mu.Lock()
	h.revoked = append(h.revoked, partitions...)
	h.mu.Unlock()
}

// Unpositioned implements connectors.Host.
func (h *Host) Unpositioned(ctx context.Context, at connectors.Range) error {
	h.noteCaller("Unpositioned")
	h.mu.Lock()
	h.unpositioned = append(h.unpositioned, at)
	h.mu.Unlock()
	if h.OnUnpositioned != nil {
		return h.OnUnpositioned(ctx, at)
	}
	return ctx.Err()
}

// Unpositioneds returns what Unpositioned was told, in order.
func (h *Host) Unpositioneds() []connectors.Range {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.unpositioned)
}

// Gap is what a source told of data that vanished before it was read.
type Gap struct {
	Partition string
	From, To  int64
}

// Gap implements connectors.Host.
func (h *Host) Gap(partition string, from, to int64) error {
	g := Gap{partition, from, to}
	h.mu.Lock()
	h.gaps = append(h.gaps, g)
	h.mu.Unlock()
	if h.OnGap != nil {
		return h.OnGap(g)
	}
	return nil
}

// Gaps returns what Gap was told, in order.
func (h *Host) Gaps() []Gap {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.gaps)
}

// Report implements connectors.Host.
func (h *Host) Report(e connectors.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// Assigned returns the partitions that Assign was called for, in order.
func (h *Host) Assigned() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.assigned)
}

// Revoked returns the partitions that Revoke has returned for, in order.
func (h *Host) Revoked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.revoked)
}

// Events returns what was reported, in order.
func (h *Host) Events() []connectors.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// AwaitEvent waits until an event of the kind has been reported and returns the first, or ctx's error.
func (h *Host) AwaitEvent(ctx context.Context, kind connectors.EventKind) (connectors.Event, error) {
	for {
		h.mu.Lock()
		i := slices.IndexFunc(h.events, func(e connectors.Event) bool { return e.Kind == kind })
		if i >= 0 {
			defer h.mu.Unlock()
			return h.events[i], nil
		}
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return connectors.Event{}, ctx.Err()
		}
	}
}

// noteCaller remembers a call that came from inside Fetch, Commit or Write: the bridge may wait in it
// for the very call to end. The suite makes these calls through functions of its own, whose names
// tell.
func (h *Host) noteCaller(method string) {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		for _, inside := range []string{"insideFetch", "insideCommit", "insideWrite"} {
			if strings.HasSuffix(frame.Function, "connectortest."+inside) {
				h.mu.Lock()
				h.faults = append(h.faults, "Host."+method+" was called from inside "+strings.TrimPrefix(inside, "inside"))
				h.mu.Unlock()
			}
		}
		if !more {
			return
		}
	}
}

func (h *Host) callFaults() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.faults)
}
