package connectors_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// Whenever they begin, all who wait for a tick are woken at the same moments, and none waits for longer than
// from one to the next.
func TestUntilTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 250 * time.Millisecond
		for range 100 {
			time.Sleep(7 * time.Millisecond)
			wait := connectors.UntilTick(every)
			if wait <= 0 || wait > every {
				t.Fatalf("at %v: waits for %v", time.Now(), wait)
			}
			if tick := time.Now().Add(wait); tick.UnixNano()%int64(every) != 0 {
				t.Fatalf("at %v: woken at %v", time.Now(), tick)
			}
		}
	})
}
