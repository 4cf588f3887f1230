package bridge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// run is one life of a route, from opening its ends to closing them. It owns every goroutine.
type run struct {
	route  *Route
	window *flowcontrol.Window
	share  *flowcontrol.Share // of what is in flight to the sink; nil unless the window is adaptive
	part   *flowcontrol.Part  // of the process's memory; nil where there is enough
	halt   halt

	source     connectors.Source
	pauser     connectors.Pauser   // nil if the source is none
	recycler   connectors.Recycler // nil if the source is none
	sink       connectors.Sink
	deadLetter connectors.Sink // nil unless the reject policy needs it
	shapers    sync.Pool       // of *shaper

	soft    context.Context // ends the fetching
	hard    context.Context // ends the writes
	endHard context.CancelFunc
	group   *errgroup.Group
	writers sync.WaitGroup

	mu         sync.Mutex
	partitions map[string]*partition
	assigned   bool // the source announces partitions by Assign: others were revoked

	place atomic.Pointer[string] // what the sink writes to, once it is known; see home
	held  *held                  // what the sink holds of the source, as far as somebody asked

	settled   settledList
	committed chan struct{} // capacity 1: some commit has returned
	open      atomic.Int64  // messages fetched and not yet committed

	going     context.Context                    // ends the waits and the Fetch of the fetcher: when soft does, or the operator pauses the route; the fetcher's
	stopGoing atomic.Pointer[context.CancelFunc] // nil before the first Fetch
	fetching  atomic.Int64                       // since when a Fetch is out, in Unix nanoseconds; 0: none is
	laneMu    sync.Mutex                         // held to end a Fetch, and to put a wait down to it
	laneWait  bool                               // while a Fetch is out, the clock waits for stuck lanes; with laneMu held
	interrupt atomic.Pointer[context.CancelFunc] // ends the Fetch that is out while lanes are paused
	paused    []*partition                       // lanes that are full; only the fetcher looks
	asked     int64                              // messages that the Fetch may bring if that is all that the limit of the window allows, else 0; the fetcher's
	free      flowcontrol.Cost                   // what the window had left when awaitRoom found room; the fetcher's
	granted   int64                              // bytes that the Fetch may bring of what the window allows; the fetcher's
	most      int                                // messages that the next Fetch may bring, 0: as many as there is room for; the fetcher's
}

func newRun(r *Route, soft, hard context.Context) (*run, error) {
	window, err := flowcontrol.NewWindow(r.cfg.Window)
	if err != nil {
		return nil, err
	}
	n := &run{
		route: r, window: window,
		partitions: map[string]*partition{}, held: newHeld(),
		settled:   settledList{wake: make(chan struct{}, 1)},
		committed: make(chan struct{}, 1),
	}
	n.joinSizer()
	n.part = r.budget.Join()
	n.soft, n.halt.stop = context.WithCancel(soft)
	hard, n.endHard = context.WithCancel(hard)
	n.group, n.hard = errgroup.WithContext(hard)
	return n, nil
}

func (n *run) setSource(s connectors.Source) {
	n.source = s
	n.pauser, _ = s.(connectors.Pauser)
	n.recycler, _ = s.(connectors.Recycler)
}

// run moves messages until the source ends, soft ends, or the route halts, whose cause it returns.
// Every goroutine has ended when it returns (I6).
func (n *run) run() error {
	lanesDone := make(chan struct{})
	n.group.Go(func() error {
		defer close(lanesDone)
		n.fetch()
		// A halt lets the other lanes finish, but not for longer than a drain may take.
		if n.halt.cause() != nil {
			defer time.AfterFunc(n.route.drain, n.endHard).Stop()
		}
		n.closeLanes()
		n.writers.Wait()
		return nil
	})
	n.group.Go(func() error { n.commit(lanesDone); return nil })
	n.group.Go(func() error { n.monitor(lanesDone); return nil })
	n.group.Go(func() error { n.witness(lanesDone); return nil })
	_ = n.group.Wait() // nothing in it returns an error: failures are retried or halt
	return n.halt.cause()
}

// closeLanes lets the writers end once they have written what they hold.
func (n *run) closeLanes() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.partitions {
		p.lane.Close()
	}
}

// closeTimeout bounds the goodbyes of the ends.
const closeTimeout = 3 * time.Second

// close closes the sinks and then the source; everything that reads or writes has ended before (I7).
func (n *run) close() {
	defer n.leave()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.hard), closeTimeout)
	defer cancel()
	n.closeSinks(ctx)
	if err := n.source.Close(ctx); err != nil {
		n.route.log.Warn().Err(err).Msg("closing the source")
	}
	n.halt.stop()
	n.endHard()
}

func (n *run) closeSinks(ctx context.Context) {
	if err := n.sink.Close(ctx); err != nil {
		n.route.log.Warn().Err(err).Msg("closing the sink")
	}
	if n.deadLetter == nil {
		return
	}
	if err := n.deadLetter.Close(ctx); err != nil {
		n.route.log.Warn().Err(err).Msg("closing the dead-letter sink")
	}
}
