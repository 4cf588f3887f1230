package connectortest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// checkSourceOutage: while the broker is away a source reports it and returns errors or waits; when it
// is back the source goes on without a hole. What was not committed may come again.
func checkSourceOutage(r *sourceRun) {
	if r.up.Break == nil || r.h.Lacks.has(Redelivery) {
		r.Skip("the harness cannot break the broker, or nothing could come again")
	}
	const n = 100
	r.begin(func() { r.putLetters(0, n, 64) })
	e := r.expect(0, n)
	var held []*connectors.Batch
	for range 4 {
		b := r.fetch(connectors.Room{Messages: 10, Bytes: 1 << 20})
		e.take(b)
		held = append(held, b)
	}
	r.again = true
	r.up.Break(r)
	held = append(held, e.endure(func() bool { return !r.spec.Remote || reported(r.host, connectors.Disconnected) })...)
	r.up.Mend(r)
	r.commit(held...)
	for e.left > 0 {
		b := r.fetch(wideRoom())
		e.takeAgain(b)
		r.commit(b)
	}
}

// endure fetches from a broker that is away until enough. What the source had received before may
// still come, and is returned.
func (e *expectation) endure(enough func() bool) (held []*connectors.Batch) {
	r := e.r
	r.Helper()
	for calls := 0; calls < 3 || !enough(); calls++ {
		ctx, cancel := context.WithTimeout(r.ctx, 50*time.Millisecond)
		b, err := r.call(ctx, wideRoom())
		switch {
		case errors.Is(err, io.EOF):
			r.Fatalf("the broker is away and Fetch returned io.EOF")
		case r.ctx.Err() != nil:
			r.Fatalf("the broker is away and Disconnected was never reported")
		case b != nil:
			e.takeAgain(b)
			held = append(held, b)
		default:
			<-ctx.Done()
		}
		cancel()
	}
	return held
}

// takeAgain is take for a source that may bring again what came before.
func (e *expectation) takeAgain(b *connectors.Batch) {
	e.r.Helper()
	fresh := *b
	for len(fresh.Messages) > 0 {
		lane, number, ok := parseLetter(fresh.Messages[0].Value)
		if !ok || lane >= len(e.next) || number >= e.next[lane] {
			break
		}
		fresh.Messages = fresh.Messages[1:]
	}
	e.take(&fresh)
}

func reported(h *Host, kind connectors.EventKind) bool {
	for _, e := range h.Events() {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// checkSourceAwayAtStart: Open does not fail because the broker is away.
func checkSourceAwayAtStart(r *sourceRun) {
	if r.up.Break == nil || r.h.Lacks.has(Backlog) {
		r.Skip("the harness cannot break the broker, or nothing would be left")
	}
	r.putLetters(0, 20, 64)
	r.up.Break(r)
	r.open()
	e := r.expect(0, 20)
	held := e.endure(func() bool { return true })
	r.up.Mend(r)
	e.fetchAll(wideRoom())
	r.commit(held...)
}

// checkSourceRebalance: a source whose partitions are taken waits in Host.Revoke, with Fetch and
// Commit going on, and starts again where the commits ended.
func checkSourceRebalance(r *sourceRun) {
	if r.up.Rebalance == nil {
		r.Skip("the harness cannot rebalance")
	}
	const n = 200
	var mu sync.Mutex // guards held
	var held []*connectors.Batch
	r.again = true
	r.onRevoke = func(ctx context.Context, _ ...string) {
		mu.Lock()
		defer mu.Unlock()
		if len(held) > 0 {
			if err := r.source.Commit(ctx, held); err != nil {
				r.Errorf("Commit while Host.Revoke waits: %v", err)
			}
		}
		held = nil
	}
	r.begin(func() { r.putLetters(0, n, 64) })
	e := r.expect(0, n)
	for revoked := false; e.left > 0; {
		b := r.fetch(connectors.Room{Messages: 10, Bytes: 1 << 20})
		e.takeAgain(b)
		r.giveBack(b)
		mu.Lock()
		held = append(held, b)
		mu.Unlock()
		if !revoked && e.left < n*r.up.Partitions/2 {
			revoked = true
			r.up.Rebalance(r)
		}
	}
	for len(r.host.Revoked()) == 0 {
		if r.ctx.Err() != nil {
			r.Fatalf("partitions were taken and Host.Revoke was never called")
		}
		pause(r.ctx)
	}
	mu.Lock()
	held = nil // Close may revoke too; what is left then is left
	mu.Unlock()
}
