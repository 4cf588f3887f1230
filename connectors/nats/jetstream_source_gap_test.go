package nats

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

// fetchHalt fetches until a Permanent error comes, and returns it and the last message that came.
func fetchHalt(t *testing.T, s *jetStreamSource) (last int64, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b, err := s.Fetch(ctx, roomy)
		switch {
		case err == nil:
			last = b.Next - 1
		case connectors.IsPermanent(err):
			return last, err
		default:
			t.Fatal(err)
		}
	}
}

// TestSourceHaltsAtGaps: nothing from behind a gap is returned, and the next start finds it again.
func TestSourceHaltsAtGaps(t *testing.T) {
	t.Parallel()
	st := newStreamTest(t, nil)
	st.publish(1, 10)
	h := newSourceHost()
	s := st.open(st.config(), h, "a")
	commit(t, s, readAll(t, s, 1, 10, roomy)...)
	st.publish(11, 90)
	closeSource(t, s)
	st.purge(61)
	for range 3 {
		h = newSourceHost()
		h.haltOnGap = true
		s = st.open(st.config(), h, "a")
		if last, err := fetchHalt(t, s); last != 0 {
			t.Errorf("%d was returned before %v", last, err)
		}
		st.wantGaps(h, [2]int64{11, 61})
		closeSource(t, s)
	}
	h = newSourceHost()
	s = st.open(st.config(), h, "a")
	commit(t, s, readAll(t, s, 61, 40, roomy)...)
	st.wantGaps(h, [2]int64{11, 61})

	// While it runs: what is before the gap is returned.
	h.mu.Lock()
	h.haltOnGap, h.gaps = true, nil
	h.mu.Unlock()
	st.publish(101, 1000)
	batches := readAll(t, s, 101, 10, connectors.Room{Messages: 10, Bytes: 1 << 20})
	first := batches[len(batches)-1].Next
	st.purge(1001)
	last, _ := fetchHalt(t, s)
	st.wantGaps(h, [2]int64{max(first, last+1), 1001})
}

// TestSourceTellsPurge: where a purge has taken the durable along after a kill, nobody knows what was unread;
// that much is said.
func TestSourceTellsPurge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ killed, purged, warns bool }{
		"killed, purged":     {true, true, true},
		"killed, not purged": {killed: true},
		"in order, purged":   {purged: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStreamTest(t, nil)
			st.publish(1, 10)
			s := st.open(st.config(), newSourceHost(), "a")
			commit(t, s, readAll(t, s, 1, 10, roomy)...)
			if c.killed {
				s.stop()
				<-s.done
				s.conn.stop()
				<-s.conn.done
			}
			closeSource(t, s)
			st.publish(11, 90)
			if c.purged {
				st.purge(61)
			}
			var log bytes.Buffer // written before a message comes
			env := sourceEnv(newSourceHost(), "b")
			env.Logger = zerolog.New(&log)
			s = newJetStreamSource(st.config(), env, defaultPace())
			fetchOne(t, s, roomy)
			closeSource(t, s)
			if warned := strings.Contains(log.String(), "purged unread"); warned != c.warns {
				t.Errorf("warned: %v\n%s", warned, &log)
			}
		})
	}
}
