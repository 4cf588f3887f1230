package nats

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// settleTime is how long a server gets to store what the lost connection had still brought it.
	settleTime = time.Second
	// maxTail is how many messages are read at most to find out what is stored.
	maxTail = 100_000
	// tailReads is how many of them are asked for at a time.
	tailReads = 32
)

// tail is what the end of the stream holds after a connection was lost: it is read once, for all
// lanes that are in doubt.
type tail struct {
	turn  chan struct{}       // holds one while a lane uses the rest
	begun time.Time           // when reading it began; zero: never, or in vain
	found map[string]struct{} // Sluice-Origin without hops
	whole bool                // nothing was missing on the way
	reads int                 // how often it was read
}

// resolve finds out which messages of a flight from done on are stored, where the server has not
// said. It returns how many, and false if that cannot be known: then the rest is sent again. With lost,
// the connection went away: what it carried may yet be stored.
func (s *jetStreamSink) resolve(ctx context.Context, w *outgoing, f *flight, done, sent int, lost bool) (stored int, sure bool, err error) {
	since := time.Now()
	select {
	case s.tail.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	defer func() { <-s.tail.turn }()
	for {
		sess, err := s.awaitLong(ctx)
		if err != nil {
			return 0, false, err
		}
		if !sess.stream.Created.Equal(f.created) {
			return 0, true, nil // another stream of that name; what it may have of the flight has no beginning
		}
		if !s.env.Headers || f.origins == nil || sess.stream.Config.Retention != "limits" {
			return 0, false, nil
		}
		if lost {
			since = sess.begun.Add(settleTime)
			wait(ctx, time.Until(since))
		}
		if !s.tail.begun.Before(since) {
			break
		}
		if err := s.readTail(ctx); err == nil {
			break
		} else if ctx.Err() == nil {
			s.env.Host.Report(connectors.Event{Kind: connectors.Retrying, Err: err})
		}
		s.again() // perhaps there is no such stream any more
		wait(ctx, sessionRetry)
	}
	at := w.cursor
	at.skip(done)
	highest := 0
	var name []byte
	for i := range sent - done {
		name = appendPlace(name[:0], at.batch(), at.message())
		if _, ok := s.tail.found[string(name)]; ok {
			highest = i + 1
		} else if !f.fast {
			break // publishes are stored one by one: behind a hole nothing counts
		}
		at.skip(1)
	}
	if s.replies.count() == 1 { // nobody else will ask
		s.tail.found, s.tail.begun = nil, time.Time{}
	}
	return highest, s.tail.whole || highest == sent-done, nil
}

// awaitLong waits for a session as long as there is hope.
func (s *jetStreamSink) awaitLong(ctx context.Context) (*session, error) {
	for {
		sess, err := s.await(ctx, time.Hour)
		if sess != nil || ctx.Err() != nil || connectors.IsPermanent(err) {
			return sess, err
		}
	}
}

// readTail reads the end of the stream, from behind what was known to be stored when the oldest
// flight set out.
func (s *jetStreamSink) readTail(ctx context.Context) error {
	begun := time.Now()
	stream, err := s.readStreamAside(ctx)
	if err != nil {
		return err
	}
	t := &s.tail
	from, origins := s.replies.oldest()
	from++
	begin := max(from, stream.State.FirstSeq)
	end := min(stream.State.LastSeq, begin+maxTail-1)
	t.begun, t.found, t.whole = time.Time{}, map[string]struct{}{}, begin == from && end >= stream.State.LastSeq
	var mu sync.Mutex
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(tailReads)
	for seq := begin; seq <= end && gctx.Err() == nil; seq++ {
		group.Go(func() error {
			origin, err := s.readOrigin(gctx, seq)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case isAPIError(err, errCodeNoMessage):
				t.whole = false
			case err != nil:
				return err
			case origins[origin[:max(0, strings.LastIndexByte(origin, '/'))]]:
				t.found[origin] = struct{}{}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("stream %s: read what is stored: %w", s.cfg.Stream, err)
	}
	t.begun = begun
	t.reads++
	s.env.Logger.Info().Str("stream", s.cfg.Stream).Uint64("from", begin).Uint64("to", end).Int("own", len(t.found)).
		Msg("jetstream sink read the stream's end to learn what is stored")
	return nil
}

const errCodeNoMessage = 10037

// readOrigin returns the Sluice-Origin of one stored message without its hops. It asks the stream's
// leader: a direct get may be answered by a replica that is behind (ADR-31).
func (s *jetStreamSink) readOrigin(ctx context.Context, seq uint64) (string, error) {
	var got struct {
		Message struct {
			Headers string `json:"hdrs"`
		} `json:"message"`
	}
	if err := s.conn.api(ctx, "STREAM.MSG.GET."+s.cfg.Stream, map[string]uint64{"seq": seq}, &got); err != nil {
		return "", err
	}
	block, err := base64.StdEncoding.DecodeString(got.Message.Headers)
	if err != nil || len(block) == 0 {
		return "", nil // written by somebody else
	}
	h, err := nats.DecodeHeadersMsg(block)
	if err != nil {
		return "", nil
	}
	place, _ := connectors.CutHops([]byte(h.Get(headerOrigin)))
	return string(place), nil
}

// readStreamAside is readStream for a Write: nats.go holds its lock while a frozen server takes
// nothing, so the call is left behind if ctx ends.
func (s *jetStreamSink) readStreamAside(ctx context.Context) (*sinkStream, error) {
	type answer struct {
		stream *sinkStream
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		stream, err := s.readStream(ctx)
		done <- answer{stream, err}
	}()
	select {
	case a := <-done:
		return a.stream, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errLost says that the connection went away under a flight.
var errLost = errors.New("the connection was lost before everything was acknowledged")
