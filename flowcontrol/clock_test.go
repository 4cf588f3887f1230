package flowcontrol

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tick is the reference's unit: everything happens on a tick.
const tick = 10 * time.Millisecond

type clockOp struct {
	At    int // in ticks
	Do    byte
	State State
	Cause Cause
}

func drawClockOps(t *rapid.T) (ops []clockOp) {
	at := 0
	for range rapid.IntRange(0, 40).Draw(t, "ops") {
		at += rapid.SampledFrom([]int{0, 1, 3, 20, 99, 100, 101, 250}).Draw(t, "after")
		ops = append(ops, clockOp{
			At: at, Do: rapid.SampledFrom([]byte("weraaqx")).Draw(t, "do"),
			State: State(rapid.IntRange(0, NumStates-1).Draw(t, "state")),
			Cause: Cause(rapid.IntRange(1, int(numCauses)-1).Draw(t, "cause")),
		})
		if s := ops[len(ops)-1].State; s == Limited || s == Stalled {
			ops[len(ops)-1].State = Flowing // nobody enters these: waiting does
		}
	}
	return ops
}

// drive applies the operations to a Clock and reads it at the end. q is a reading on the way, which
// must not change anything.
func drive(ops []clockOp, end int) Reading {
	begin := time.Unix(0, 0)
	at := func(ticks int) time.Time { return begin.Add(time.Duration(ticks) * tick) }
	c := NewClock(Disconnected, begin)
	for _, op := range ops {
		switch op.Do {
		case 'w':
			c.Wait(op.Cause, at(op.At))
		case 'r':
			c.Resume(at(op.At))
		case 'e':
			c.Enter(op.State, at(op.At))
		case 'a':
			c.Ack(at(op.At))
		case 'x':
			c.Expect(time.Duration(op.Cause)*time.Second, at(op.At))
		case 'q':
			c.Read(at(op.At))
		}
	}
	return c.Read(at(end))
}

// sample is the reference: it looks at every tick and says in which state it is spent.
func sample(ops []clockOp, end int) (times [NumStates]time.Duration, now State, episodes []Episode) {
	begin := time.Unix(0, 0)
	at := func(ticks int) time.Time { return begin.Add(time.Duration(ticks) * tick) }
	base, waiting := Disconnected, false
	wait, silent, ack, patience := 0, 0, -1<<40, time.Second
	rated := false   // waits for the rate, which is in no episode
	stalled := false // and stays so until it is answered, whatever is expected then
	var open *Episode
	next := 0
	for n := 0; n <= end; n++ {
		for ; next < len(ops) && ops[next].At == n; next++ {
			switch op := ops[next]; {
			case op.Do == 'w' && op.Cause == CauseRate:
				if waiting {
					open.End = at(n)
				}
				waiting, rated = false, true
			case op.Do == 'w' && !waiting:
				rated = false
				waiting, wait, stalled = true, n, false
				if ack > silent {
					silent = n
				}
				if open == nil || at(n).Sub(open.End) >= time.Second {
					silent = n
					episodes = append(episodes, Episode{Seq: uint64(len(episodes) + 1), Begin: at(n)})
					open = &episodes[len(episodes)-1]
				}
				open.Waits++
				open.Cause, open.End = op.Cause, time.Time{}
			case op.Do == 'w':
				open.Cause = op.Cause
			case op.Do == 'r' && waiting:
				waiting = false
				open.End = at(n)
			case op.Do == 'r':
				rated = false
			case op.Do == 'e':
				base = op.State
			case op.Do == 'a':
				ack, stalled = n, false
			case op.Do == 'x':
				stalled = stalled || waiting && time.Duration(n-max(silent, ack))*tick >= patience
				patience = time.Duration(op.Cause) * time.Second
			}
		}
		now = base
		if rated {
			now = Limited
		}
		if waiting {
			now = Limited
			stalled = stalled || time.Duration(n-max(silent, ack))*tick >= patience
			if stalled {
				now = Stalled
			}
		}
		if n == end {
			break
		}
		times[now] += tick
		if waiting {
			open.Waited += tick
			open.Longest = max(open.Longest, time.Duration(n+1-wait)*tick)
			if now == Stalled {
				open.Stalled += tick
			}
		}
	}
	return times, now, episodes
}

func TestClockAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := drawClockOps(t)
		end := 0
		if len(ops) > 0 {
			end = ops[len(ops)-1].At
		}
		end += rapid.SampledFrom([]int{0, 1, 99, 100, 500}).Draw(t, "end")
		got := drive(ops, end)
		times, now, episodes := sample(ops, end)
		if d := cmp.Diff(times, got.Times); d != "" {
			t.Fatalf("times (-reference +clock)\n%s", d)
		}
		if got.State != now {
			t.Fatalf("state %v, want %v", got.State, now)
		}
		var sum time.Duration
		for _, d := range got.Times {
			sum += d
		}
		if want := time.Duration(end) * tick; sum != want {
			t.Fatalf("the states sum to %v, %v have passed", sum, want)
		}
		compareEpisodes(t, episodes, got, end)
	})
}

func compareEpisodes(t *rapid.T, episodes []Episode, got Reading, end int) {
	now := time.Unix(0, 0).Add(time.Duration(end) * tick)
	var last, current Episode
	for _, e := range episodes {
		last = current
		current = e
	}
	if current.Seq != 0 && !current.End.IsZero() && now.Sub(current.End) >= time.Second {
		last, current = current, Episode{}
	}
	if d := cmp.Diff(current, got.Current); d != "" {
		t.Fatalf("current episode (-reference +clock)\n%s", d)
	}
	if d := cmp.Diff(last, got.Last); d != "" {
		t.Fatalf("last episode (-reference +clock)\n%s", d)
	}
}

func TestClockTellsLimitedFromStalled(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	c := NewClock(Flowing, at(0))
	c.Wait(CauseBytes, at(1000))
	c.Ack(at(1500))
	if r := c.Read(at(2499)); r.State != Limited || r.Cause != CauseBytes {
		t.Errorf("999 ms after an acknowledgement: %v, %v", r.State, r.Cause)
	}
	if r := c.Read(at(3000)); r.State != Stalled || !r.Since.Equal(at(2500)) || r.Times[Stalled] != 500*time.Millisecond {
		t.Errorf("1.5 s after: %v since %v, %v", r.State, r.Since, r.Times[Stalled])
	}
	c.Ack(at(4000))
	c.Resume(at(4200))
	r := c.Read(at(5200))
	want := Episode{Seq: 1, Begin: at(1000), End: at(4200), Waited: 3200 * time.Millisecond, Waits: 1, Longest: 3200 * time.Millisecond, Stalled: 1500 * time.Millisecond, Cause: CauseBytes}
	if d := cmp.Diff(want, r.Last); d != "" || r.State != Flowing || r.Current.Seq != 0 {
		t.Errorf("the episode (-want +got)\n%s, %v", d, r.State)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for c := Cause(1); c < numCauses; c++ {
		seen[c.String()] = true
	}
	for b := Blocker(1); b < numBlockers; b++ {
		seen[b.String()] = true
	}
	for s := State(0); s < numStates; s++ {
		seen[s.String()] = true
	}
	if want := int(numCauses) - 1 + NumBlockers - 1 + NumStates; len(seen) != want || seen[""] {
		t.Errorf("%d names of %d differ: %v", len(seen), want, seen)
	}
}

// TestEndEpisode: what comes after is another episode, also within a second; one that waits goes on.
func TestEndEpisode(t *testing.T) {
	begin := time.Now()
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	c := NewClock(Flowing, begin)
	c.EndEpisode(begin)
	c.Wait(CauseBytes, begin)
	c.EndEpisode(at(time.Second))
	c.Resume(at(2 * time.Second))
	if r := c.Read(at(2 * time.Second)); r.Current.Seq != 1 || r.Current.Waited != 2*time.Second {
		t.Errorf("while it waited: %+v", r)
	}
	c.EndEpisode(at(2 * time.Second))
	c.Wait(CauseBytes, at(2*time.Second))
	if r := c.Read(at(3 * time.Second)); r.Current.Seq != 2 || r.Current.Waited != time.Second || r.Last.Seq != 1 || r.Last.Waited != 2*time.Second {
		t.Errorf("afterwards: %+v", r)
	}
}
