package connectortest

import (
	"context"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// checkSinkOutage: while the broker is away nothing is acknowledged and the sink reports it; when the
// broker is back everything is written, in the order of first appearance.
func checkSinkOutage(r *sinkRun) {
	if r.down.Break == nil {
		r.Skip("the harness cannot break the broker")
	}
	const lanes, n = 2, 200
	r.open()
	gone, back := make(chan struct{}), make(chan struct{})
	r.eachLane(lanes+1, func(lane int) {
		if lane == lanes {
			r.await(gone)
			r.endure(lane)
			r.down.Mend(r)
			close(back)
			return
		}
		for first := 0; first < n; first += 10 {
			if first == n/2 {
				if lane == 0 {
					r.down.Break(r)
					close(gone)
				}
				r.await(gone)
			}
			r.write(r.batches(lane, letters(lane, first, 10, 64), 4))
		}
		r.await(back)
	})
	r.given = lanes
	r.arrived(lanes, n, true)
}

// await waits for the lane that does something to the broker, which may have failed before.
func (r *sinkRun) await(done <-chan struct{}) {
	r.Helper()
	select {
	case <-done:
	case <-r.ctx.Done():
		r.Fatalf("another lane has not come so far: %v", r.ctx.Err())
	}
}

// endure writes to a broker that is away until the sink has reported it; no Write may succeed.
func (r *sinkRun) endure(lane int) {
	r.Helper()
	for calls := 0; calls < 3 || r.spec.Remote && !reported(r.host, connectors.Disconnected); calls++ {
		ctx, cancel := context.WithTimeout(r.ctx, 50*time.Millisecond)
		err := r.call(ctx, r.batches(lane, letters(lane, 0, 1, 64), 1))
		switch {
		case err == nil:
			r.Errorf("the broker is away and a Write was acknowledged")
		case r.ctx.Err() != nil:
			r.Fatalf("the broker is away and Disconnected was never reported")
		}
		<-ctx.Done()
		cancel()
	}
}

// checkSinkAwayAtStart: Open does not fail because the broker is away.
func checkSinkAwayAtStart(r *sinkRun) {
	if r.down.Break == nil {
		r.Skip("the harness cannot break the broker")
	}
	r.down.Break(r)
	r.open()
	r.endure(1)
	r.down.Mend(r)
	r.write(r.batches(0, letters(0, 0, 20, 64), 5))
	r.given = 1
	r.arrived(1, 20, true)
}
