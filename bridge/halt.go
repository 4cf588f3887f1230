package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

// The reasons of halts that the bridge itself names; connectors name others. They are a public contract:
// scripts branch on them.
const (
	haltRefused       = "message_refused"     // the sink refuses a message for good, and on_reject is halt
	haltLetterRefused = "dead_letter_refused" // so does the dead-letter sink
	haltGap           = "gap"                 // source data vanished, and on_gap is halt
	haltLost          = "position_lost"       // upstream has no position, and the sink holds the source's messages
	haltRecreated     = "source_recreated"    // the same, and the source ends before them

	// What a connector gave no name.
	haltSource = "source_failed"
	haltSink   = "sink_failed"
	haltCommit = "commit_failed"
	haltOpen   = "open_failed"
)

// halt ends a run that needs an operator: fetching stops at once, the other lanes finish. The first
// cause counts.
type halt struct {
	mu   sync.Mutex
	err  error
	stop context.CancelFunc
}

// set halts because of err. reason names it unless it has a name.
func (h *halt) set(reason string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = named(reason, err)
		h.stop()
	}
}

func (h *halt) cause() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// named returns err as a Permanent error that has a name.
func named(reason string, err error) error {
	var known *connectors.HaltError
	if errors.As(err, &known) && connectors.IsPermanent(err) {
		return err
	}
	return connectors.Halt(reason, "", err)
}

// refusal is a message that was refused for good and not disposed of.
type refusal struct {
	telemetry.Place
	cause error
}

func (e *refusal) Error() string {
	return fmt.Sprintf("%s offset %d was refused: %v", e.Partition, e.Offset, e.cause)
}

func (e *refusal) Unwrap() error { return e.cause }

// haltStatus is what people are told of a halt's cause.
func (r *Route) haltStatus(cause error) *telemetry.HaltStatus {
	s := &telemetry.HaltStatus{Reason: haltOpen, Detail: cause.Error(), Since: time.Now()}
	var known *connectors.HaltError
	if errors.As(cause, &known) {
		s.Reason, s.Way = known.Reason, known.Way
	}
	if s.Way == "" {
		s.Way = "mend the cause, then: sluice resume " + r.cfg.Name
	}
	var refused *refusal
	if errors.As(cause, &refused) {
		s.Place = &refused.Place
	}
	return s
}

// awaitResume holds a halted route until it may go on or ctx ends, and reports which. It goes on by Resume or
// when an order has been carried out.
func (r *Route) awaitResume(ctx context.Context, cause error) bool {
	resume := make(chan struct{})
	status := r.haltStatus(cause)
	r.mu.Lock()
	r.resume, r.halted = resume, cause
	r.health.setHalted(status)
	r.mu.Unlock()
	r.log.Error().Str("reason", status.Reason).Str("way", status.Way).Func(func(e *zerolog.Event) {
		if status.Place != nil {
			e.Str("partition", status.Partition).Int64("offset", status.Offset)
		}
	}).Err(cause).Msg("route halted")
	for {
		select {
		case <-resume:
			return true
		case <-ctx.Done():
			return false
		case <-r.ordered:
		}
		if o := r.takeOrder(); o != nil && r.carryOut(ctx, o) {
			r.release(resume, nil)
			return true
		}
	}
}
