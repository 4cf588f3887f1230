package bridge

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Operator is who asks for something that changes a route, and why.
type Operator struct{ Who, Why string }

// statusActions is how many actions of operators a status shows: the latest.
const statusActions = 8

// audit leaves a trace of what an operator had done: one line that no log level hides, and in the status.
func (r *Route) audit(by Operator, what, before, after string) {
	a := telemetry.ActionStatus{Time: time.Now(), Who: by.Who, Why: by.Why, What: what, Before: before, After: after}
	r.log.Log().Str("level", "info").Bool("audit", true).Str("who", a.Who).Str("why", a.Why).
		Str("what", a.What).Str("before", a.Before).Str("after", a.After).Msg("operator: " + what)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.actions = append(r.actions, a)
	r.actions = slices.Clone(r.actions[max(0, len(r.actions)-statusActions):])
}

func (r *Route) latestActions() []telemetry.ActionStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.actions
}

// Resume says how a halted route goes on.
type Resume struct {
	// Skip gives up the message that blocks: it goes to the dead letters, or with Drop nowhere, and is not
	// offered to the sink again.
	Skip, Drop bool
	By         Operator
}

// givenUp is a message that the operator gave up.
type givenUp struct {
	*refusal
	policy Reject // DeadLetter or Drop
}

// Resume lets a halted route go on from its committed position.
func (b *Bridge) Resume(route string, how Resume) error {
	r, err := b.route(route)
	if err != nil {
		return err
	}
	return r.resumeBy(how)
}

func (r *Route) resumeBy(how Resume) error {
	r.mu.Lock()
	resume, cause := r.resume, r.halted
	r.mu.Unlock()
	name := r.cfg.Name
	if resume == nil {
		return fmt.Errorf("route %s is not halted", name)
	}
	before := r.haltStatus(cause)
	what, after := "resume", "goes on at the committed position"
	var skip *givenUp
	if how.Skip {
		var err error
		if skip, err = r.skip(cause, how.Drop); err != nil {
			return err
		}
		what, after = "resume --skip", fmt.Sprintf("%s offset %d goes to the dead letters", skip.Partition, skip.Offset)
		if how.Drop {
			what, after = "resume --skip --drop", fmt.Sprintf("%s offset %d is dropped", skip.Partition, skip.Offset)
		}
	}
	if !r.release(resume, skip) {
		return fmt.Errorf("route %s has been resumed by somebody else", name)
	}
	r.audit(how.By, what, "halted: "+before.Reason+": "+before.Detail, after)
	return nil
}

// release lets the route go on, unless somebody else has.
func (r *Route) release(resume chan struct{}, skip *givenUp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.resume != resume {
		return false
	}
	r.giveUp.Store(skip)
	r.gaps.accept()
	r.health.setHalted(nil)
	close(r.resume)
	r.resume, r.halted = nil, nil
	return true
}

// skip returns the message that blocks, to be given up.
func (r *Route) skip(cause error, drop bool) (*givenUp, error) {
	name := r.cfg.Name
	var blocks *refusal
	switch {
	case !errors.As(cause, &blocks):
		return nil, fmt.Errorf("route %s is not halted by a single message, so there is none to skip: %s", name, r.haltStatus(cause).Way)
	case drop:
		return &givenUp{blocks, Drop}, nil
	case r.cfg.DeadLetter == nil:
		return nil, fmt.Errorf("route %s has no dead-letter target: add dead_letter: {sink: {...}} to the route in the configuration and restart, "+
			"or drop exactly this one message (%s offset %d): sluice resume %s --skip --drop", name, blocks.Partition, blocks.Offset, name)
	}
	return &givenUp{blocks, DeadLetter}, nil
}

// giveUpAny disposes of the message that the operator gave up if it is about to be written, and takes it
// out of what is.
func (w *writer) giveUpAny() error {
	given := w.route.giveUp.Load()
	if given == nil || given.Partition != w.p.name {
		return nil
	}
	for i, b := range w.batches {
		at := slices.IndexFunc(b.Messages, func(m connectors.Message) bool { return m.Offset == given.Offset })
		if at < 0 {
			continue
		}
		if err := w.disposeOf(given.policy, b, at, given.cause); err != nil {
			return err
		}
		w.route.giveUp.CompareAndSwap(given, nil)
		view, f := *b, w.flights[i]
		view.Messages = slices.Delete(slices.Clone(b.Messages), at, at+1)
		w.batches[i] = &view
		if len(view.Messages) == 0 {
			w.batches, w.flights = slices.Delete(w.batches, i, i+1), slices.Delete(w.flights, i, i+1)
		}
		w.acknowledged(f, 1)
		return nil
	}
	return nil
}
