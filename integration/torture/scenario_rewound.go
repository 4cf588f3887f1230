package main

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// rewoundScenarios are about brokers that come back without the end of what they had, as after a power
// cut, an unclean election or a restored backup.
func rewoundScenarios() []*scenario {
	still := func(s *setting) { s.perSecond, s.vanishes, s.plain = 0, true, true }
	return []*scenario{
		{name: "truncated-there", says: "a topic ends before the position: the route waits for an operator", set: there(still), act: truncatedTopic},
		{name: "truncated-back", says: "a stream ends before the position: the route waits for an operator", set: back(still), act: truncatedStream},
		{name: "regrown-back", says: "a stream ended before the position and has grown past it since: the route waits for an operator", set: back(still), act: regrownStream},
		{name: "forgotten-there", says: "a stream forgets what it had acknowledged: the route tells how many", set: there(func(s *setting) { s.plain = true }), act: forgottenSink},
	}
}

func truncatedTopic(ctx context.Context, t *trial, r *route) error {
	r.expect.halt = "behind the end of the log"
	if err := arrived(ctx, r); err != nil {
		return err
	}
	broker, old := t.stage.kafka[0], filepath.Join(t.stage.dir, r.name+"-old")
	defer os.RemoveAll(old)
	if err := broker.Process.Freeze(); err != nil {
		return err
	}
	if err := broker.CopyLog(r.topic.Name, old); err != nil {
		return err
	}
	if err := broker.Process.Thaw(); err != nil {
		return err
	}
	if err := r.fill(ctx, 2000); err != nil {
		return err
	}
	r.settle(ctx)
	if err := broker.Process.Kill(); err != nil {
		return err
	}
	if err := broker.RestoreLog(r.topic.Name, old); err != nil {
		return err
	}
	if err := broker.Restart(ctx); err != nil {
		return err
	}
	return r.waits(ctx)
}

// rewind puts back the store of the only nats-server to what it is now, after meanwhile.
func (t *trial) rewind(ctx context.Context, r *route, meanwhile func() error) error {
	server, old := t.stage.nats[0], filepath.Join(t.stage.dir, r.name+"-old")
	defer os.RemoveAll(old)
	if err := server.Process.Freeze(); err != nil {
		return err
	}
	if err := server.CopyStore(old); err != nil {
		return err
	}
	if err := server.Process.Thaw(); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return err
	}
	if err := server.Process.Kill(); err != nil {
		return err
	}
	if err := server.RestoreStore(old); err != nil {
		return err
	}
	return server.Restart(ctx)
}

// more writes and lets it arrive.
func (r *route) more(ctx context.Context) func() error {
	return func() error {
		if err := r.fill(ctx, 2000); err != nil {
			return err
		}
		r.settle(ctx)
		return nil
	}
}

func truncatedStream(ctx context.Context, t *trial, r *route) error {
	r.expect.halt = "has lost messages"
	if err := arrived(ctx, r); err != nil {
		return err
	}
	if err := t.rewind(ctx, r, r.more(ctx)); err != nil {
		return err
	}
	return r.waits(ctx)
}

// regrownStream writes what the stream lost, and more, before the daemon can look.
func regrownStream(ctx context.Context, t *trial, r *route) error {
	r.expect.halt = "another message"
	if err := arrived(ctx, r); err != nil {
		return err
	}
	err := t.rewind(ctx, r, func() error {
		err := r.more(ctx)()
		for _, p := range r.near().proxies {
			p.Refuse(true)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := r.fill(ctx, 4000); err != nil {
		return err
	}
	for _, p := range r.near().proxies {
		p.Refuse(false)
	}
	return r.waits(ctx)
}

func forgottenSink(ctx context.Context, t *trial, r *route) error {
	r.expect.told = true
	f := r.log.begin("the store goes back", 0, r)
	if err := t.rewind(ctx, r, func() error { return pause(ctx, 2*time.Second) }); err != nil {
		return err
	}
	took := r.flows(ctx, recoverPatience)
	if took < 0 {
		r.log.find(checkRecovery, r, "no acknowledgement within %v after the server came back", recoverPatience)
	}
	r.log.amend(f, func(f *fault) { f.Recovered = round(took) })
	return nil
}
