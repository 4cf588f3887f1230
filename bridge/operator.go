package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Operator is who asks for something that changes a route, and why.
type Operator struct{ Who, Why string }

// statusActions is how many actions of operators a status shows: the latest.
const statusActions = 8

// audit leaves a trace of what an operator asked for: one line that no log level hides. What was done, which is
// what err did not prevent, is in the status too.
func (r *Route) audit(by Operator, what, before, after string, err error) {
	e := r.log.Log().Str("level", "info").Bool("audit", true).Str("who", by.Who).Str("why", by.Why).Str("what", what)
	if err != nil {
		e.Str("outcome", "refused").Err(err).Msg("operator: " + what)
		return
	}
	e.Str("outcome", "done").Str("before", before).Str("after", after).Msg("operator: " + what)
	r.did(by, what, before, after)
}

// did adds to the status what an operator had done to the route.
func (r *Route) did(by Operator, what, before, after string) {
	a := telemetry.ActionStatus{Time: time.Now(), Who: by.Who, Why: by.Why, What: what, Before: before, After: after}
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

// Resumed is what held a route until Resume. One is set, or both.
type Resumed struct {
	Halted *telemetry.HaltStatus
	Paused *telemetry.PauseStatus
}

// String says it in words.
func (r *Resumed) String() string {
	var was []string
	if r.Halted != nil {
		was = append(was, "halted: "+r.Halted.Reason+": "+r.Halted.Detail)
	}
	if r.Paused != nil {
		was = append(was, "paused by "+r.Paused.Who+": "+r.Paused.Why)
	}
	return strings.Join(was, "; ")
}

// Resume lets a route go on from its committed position that is halted, paused by an operator, or both, and tells
// which it was.
func (b *Bridge) Resume(route string, how Resume) (*Resumed, error) {
	r, err := b.route(route)
	if err != nil {
		return nil, err
	}
	what := "resume"
	if how.Skip {
		what += " --skip"
	}
	if how.Drop {
		what += " --drop"
	}
	was, after, err := r.resumeBy(how)
	r.audit(how.By, what, was.String(), after, err)
	if err != nil {
		return nil, err
	}
	return was, nil
}

func (r *Route) resumeBy(how Resume) (was *Resumed, after string, err error) {
	r.mu.Lock()
	resume, cause, paused := r.resume, r.halted, r.paused.Load()
	r.mu.Unlock()
	name, was := r.cfg.Name, &Resumed{}
	if paused != nil {
		was.Paused = &paused.PauseStatus
	}
	switch {
	case resume == nil && paused == nil:
		return was, "", fmt.Errorf("route %s is neither halted nor paused", name)
	case resume == nil && how.Skip:
		return was, "", fmt.Errorf("route %s is paused, not halted, so there is no message to skip: sluice resume %s", name, name)
	}
	after = "goes on at the committed position"
	if resume != nil {
		was.Halted = r.haltStatus(cause)
		var skip *givenUp
		if how.Skip {
			if skip, err = r.skip(cause, how.Drop); err != nil {
				return was, "", err
			}
			after = fmt.Sprintf("%s offset %d goes to the dead letters", skip.Partition, skip.Offset)
			if how.Drop {
				after = fmt.Sprintf("%s offset %d is dropped", skip.Partition, skip.Offset)
			}
		}
		if !r.release(resume, skip) {
			return was, "", fmt.Errorf("route %s has been resumed by somebody else", name)
		}
	}
	if paused != nil && !r.goOn(paused) && resume == nil {
		return was, "", fmt.Errorf("route %s has been resumed by somebody else", name)
	}
	return was, after, nil
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
		return nil, fmt.Errorf("route %s has no dead-letter target: add dead_letter: {sink: {...}} to the route in the configuration, then sluice reload, "+
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
