package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// daemonStrikes are what is done to the daemon of a route. Slot a is the one that works, slot b that of
// a second one that comes and goes.
func daemonStrikes() []*strike {
	return []*strike{
		{name: killed, weight: 8, crashes: 1, do: killDaemon},
		{name: "SIGTERM", weight: 3, do: endDaemon},
		{name: "SIGSTOP", weight: 3, do: freezeDaemon},
	}
}

const killed = "SIGKILL"

// zombieStrike takes as long as a group needs to find out that a member is gone.
func zombieStrike() *strike {
	return &strike{name: "SIGSTOP beside a second one", crashes: 2, do: zombie}
}

// killDaemon kills the daemon and starts it again, at once or after a while.
func killDaemon(ctx context.Context, r *route, random *rand.Rand) (string, error) {
	if err := r.slots[0].kill(); err != nil {
		return "", err
	}
	if random.IntN(3) == 0 {
		_ = pause(ctx, between(random, 100*time.Millisecond, time.Second))
	}
	return "", r.slots[0].start()
}

// endDaemon ends the daemon softly, which doubles nothing, and starts it again.
func endDaemon(_ context.Context, r *route, _ *rand.Rand) (string, error) {
	begin := time.Now()
	code, err := r.slots[0].terminate()
	if err != nil || code != 0 {
		r.log.find(checkExit, r, "exit code %d after SIGTERM, want 0 (%v)", code, err)
	}
	return fmt.Sprintf("drained in %v", time.Since(begin).Round(time.Millisecond)), r.slots[0].start()
}

// freezeDaemon stops the daemon in its tracks for a moment.
func freezeDaemon(ctx context.Context, r *route, random *rand.Rand) (string, error) {
	d := r.slots[0].running()
	if d == nil {
		return "it did not run", nil
	}
	if err := d.Freeze(); err != nil {
		return "", err
	}
	_ = pause(ctx, between(random, 100*time.Millisecond, 1500*time.Millisecond))
	return "", d.Thaw()
}

// zombie freezes the daemon until a second one has taken over, lets it wake beside that one, and then
// ends one of the two.
func zombie(ctx context.Context, r *route, random *rand.Rand) (string, error) {
	first, second := r.slots[0], r.slots[1]
	d := first.running()
	if d == nil {
		return "it did not run", nil
	}
	if err := second.start(); err != nil {
		return "", err
	}
	if err := r.meets(ctx, second); err != nil {
		return "", err
	}
	if err := d.Freeze(); err != nil {
		return "", err
	}
	took, alone := r.shrinks(ctx, 1, recoverPatience)
	flowed := r.flows(ctx, recoverPatience)
	if (flowed < 0 || !alone) && ctx.Err() == nil {
		r.log.find(checkRecovery, r, "the second daemon did not take over within %v", recoverPatience)
	}
	took += max(flowed, 0)
	_ = pause(ctx, between(random, 100*time.Millisecond, time.Second))
	if err := d.Thaw(); err != nil {
		return "", err
	}
	_ = pause(ctx, between(random, 500*time.Millisecond, 2*time.Second))
	note := fmt.Sprintf("taken over in %v, ", took.Round(time.Millisecond))
	switch random.IntN(3) {
	case 0:
		_, err := second.terminate()
		return note + "second ended", err
	case 1:
		return note + "second killed", second.kill()
	default:
		if err := first.kill(); err != nil {
			return "", err
		}
		if err := first.start(); err != nil {
			return "", err
		}
		_ = r.flows(ctx, recoverPatience)
		_, err := second.terminate()
		return note + "first killed", err
	}
}

// meets waits until the daemon in a slot is connected at both ends, or stands by.
func (r *route) meets(ctx context.Context, s *slot) error {
	for waited := time.Now(); time.Since(waited) < recoverPatience; {
		d := s.running()
		if d == nil {
			return fmt.Errorf("daemon %s has ended", s.name)
		}
		if st, err := d.Status(ctx); err == nil && (st.State == "standby" || st.SourceConnected && st.SinkConnected) {
			return nil
		}
		if err := pause(ctx, sampleEvery); err != nil {
			return err
		}
	}
	return fmt.Errorf("daemon %s is not connected within %v", s.name, recoverPatience)
}
