package main

import (
	"context"
	"time"
)

// idleScenarios are about what a daemon takes that cannot go on.
func idleScenarios() []*scenario {
	large := func(s *setting) { s.perSecond, s.plain, s.size = 0, true, 100<<10 }
	return []*scenario{
		{name: "dead-there", says: "a JetStream that refuses connections from the start, in front of 150 MB", set: there(large), act: deadSink},
		{name: "dead-back", says: "a Kafka that refuses connections from the start, in front of 150 MB", set: back(large), act: deadSink},
		{name: "gone-there", says: "a Kafka that refuses connections for a while, as a source", set: there(nil), act: gone},
		{name: "silent-there", says: "a JetStream that answers nothing for a while", set: there(nil), act: silent},
		{name: "silent-back", says: "a Kafka that answers nothing for a while", set: back(nil), act: silent},
	}
}

// deadSink lets a daemon go on before a sink that is not there, and then is there. It has been there once: who
// begins for the first time fetches nothing until the sink has said what it holds.
func deadSink(ctx context.Context, _ *trial, r *route) error {
	if err := r.fill(ctx, 20); err != nil {
		return err
	}
	if err := r.slots[0].start(); err != nil {
		return err
	}
	if err := r.arrives(ctx); err != nil {
		return err
	}
	if code, err := r.slots[0].terminate(); err != nil || code != 0 {
		r.log.find(checkExit, r, "exit code %d after SIGTERM, want 0 (%v)", code, err)
	}
	if err := r.fill(ctx, 1500); err != nil {
		return err
	}
	for _, p := range r.far().proxies {
		p.Refuse(true)
	}
	if err := r.slots[0].start(); err != nil {
		return err
	}
	if err := pause(ctx, 12*time.Second); err != nil {
		return err
	}
	for _, p := range r.far().proxies {
		p.Refuse(false)
	}
	r.settle(ctx)
	return nil
}

func silent(ctx context.Context, t *trial, r *route) error {
	return r.hit(ctx, longStall(r.far(), 8*time.Second), t.random)
}

// gone takes the source away.
func gone(ctx context.Context, _ *trial, r *route) error {
	for _, p := range r.near().proxies {
		p.Refuse(true)
		p.Cut()
	}
	if err := pause(ctx, 8*time.Second); err != nil { // the group forgets a member after ten
		return err
	}
	for _, p := range r.near().proxies {
		p.Refuse(false)
	}
	if r.flows(ctx, recoverPatience) < 0 {
		r.log.find(checkRecovery, r, "no acknowledgement within %v after the source came back", recoverPatience)
	}
	return nil
}
