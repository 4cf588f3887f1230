package kafka

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

const (
	// pausedWait replaces the long poll while a partition is left out of a request, for it would
	// have to wait for the answer when it may be asked for again.
	pausedWait = 25 * time.Millisecond
	// minFetch is the least that is asked for; brokers send a larger first batch whole anyway.
	minFetch = 16 << 10
	// minPart is the least that is asked for of one partition among many, so that a batch of usual
	// size fits.
	minPart = 128 << 10
	// maxAnswer is what an answer may exceed the fetch size by: one batch that is larger.
	maxAnswer = 64 << 20
)

// question is a request that is out.
type question struct {
	long   bool // the broker holds it for as long as there is nothing
	giveUp context.CancelFunc
}

// request sends one request to each broker that has none out and of whose partitions nothing is held:
// what is held and what was asked for stays below room, or is the one answer a broker that the
// documentation states. A request that a broker holds is given up for a partition that is not in it. It
// returns how long to wait before looking again. s.mu is held.
func (s *source) request(room connectors.Room, now time.Time) time.Duration {
	wait := time.Minute // whatever changes wakes us
	held := s.heldBytes()
	type ask struct {
		feeds []*feed
		held  bool // data of some partition is held
		left  bool // some partition is left out
	}
	asks := map[int32]*ask{}
	for _, f := range s.feeds {
		q := s.busy[f.leader]
		if f.leader < 0 || !f.located || f.ended() || q != nil && (f.asked || !q.long) {
			continue
		}
		a := asks[f.leader]
		if a == nil {
			a = &ask{}
			asks[f.leader] = a
		}
		later := max(f.notBefore.Sub(now), s.holdOff[f.leader].Sub(now))
		switch {
		case f.reader != nil:
			a.held = true
		case f.paused || later > 0:
			a.left = true
			if later > 0 {
				wait = min(wait, later)
			}
		default:
			a.feeds = append(a.feeds, f)
		}
	}
	for node, a := range asks {
		if len(a.feeds) == 0 || a.held {
			continue
		}
		if q := s.busy[node]; q != nil {
			q.giveUp()
			continue
		}
		req := &wire.Fetch{
			MaxWait:       s.timing.wait,
			MaxBytes:      int(min(int64(s.cfg.FetchMaxBytes), max(minFetch, room.Bytes-held))),
			ReadCommitted: s.cfg.Isolation == readCommitted,
		}
		if a.left {
			req.MaxWait = min(req.MaxWait, pausedWait)
		}
		s.send(node, a.feeds, req)
	}
	return wait
}

// heldBytes returns what was fetched and not returned. s.mu is held.
func (s *source) heldBytes() (n int64) {
	for _, f := range s.feeds {
		if f.reader != nil {
			n += f.reader.Held()
		}
	}
	return n
}

// send starts the exchange of one request. s.mu is held.
func (s *source) send(node int32, feeds []*feed, req *wire.Fetch) {
	part := min(req.MaxBytes, max(minPart, req.MaxBytes/len(feeds)))
	turn := s.turns[node] % len(feeds)
	s.turns[node]++
	feeds = byTopic(append(feeds[turn:len(feeds):len(feeds)], feeds[:turn]...))
	for _, f := range feeds {
		f.asked = true
		req.Parts = append(req.Parts, wire.FetchPart{
			Topic: f.topic, Partition: f.number, Epoch: -1, Offset: f.next, MaxBytes: min(req.MaxBytes, max(part, f.batch)),
		})
	}
	ctx, giveUp := context.WithCancel(s.life)
	s.busy[node] = &question{long: req.MaxWait > pausedWait, giveUp: giveUp}
	s.work.Go(func() {
		defer giveUp()
		s.exchange(ctx, node, feeds, req)
	})
}

// byTopic returns feeds with those of one topic together, in the order of each topic's first.
func byTopic(feeds []*feed) []*feed {
	sorted := make([]*feed, 0, len(feeds))
	done := map[string]bool{}
	for _, first := range feeds {
		if done[first.topic] {
			continue
		}
		done[first.topic] = true
		for _, f := range feeds {
			if f.topic == first.topic {
				sorted = append(sorted, f)
			}
		}
	}
	return sorted
}

// exchange sends a request and keeps its answer for the next Fetch.
func (s *source) exchange(ctx context.Context, node int32, feeds []*feed, req *wire.Fetch) {
	var got *wire.Fetched
	_, err := s.conn.call(ctx, s.timing.request, &wire.Call{
		Key: wire.FetchKey, Version: wire.FetchVersion, Node: node,
		Body:  wire.AppendFetch(nil, req),
		Limit: req.MaxBytes + int(max(maxAnswer, s.window.Bytes)),
		Read: func(r io.Reader, size int) (err error) {
			if err := ctx.Err(); err != nil {
				return err // given up: nobody reads what is left, and the connection ends
			}
			got, err = wire.ReadFetched(r, size, &s.pool)
			return err
		},
	})
	if err == nil { // else got may still be written to
		err = codeError(code(got.Code), "fetch from %s", s.conn.brokerName(node))
	}
	switch {
	case s.life.Err() != nil:
		return
	case err != nil && ctx.Err() != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free(node, feeds)
		return
	case err != nil:
		s.conn.disconnected(err)
		s.failed(node, feeds)
		return
	}
	s.conn.connected()
	if got.Throttle > 0 {
		s.host.Report(connectors.Event{Kind: connectors.Throttled, Wait: got.Throttle})
	}
	s.received(node, feeds, req, got)
}

// free makes room for the next request. s.mu is held.
func (s *source) free(node int32, feeds []*feed) {
	delete(s.busy, node)
	for _, f := range feeds {
		f.asked = false
	}
	s.look = true
	s.signal(s.wake)
}

// failed makes room for the next request after one that failed.
func (s *source) failed(node int32, feeds []*feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(node, feeds)
	s.fails[node]++
	s.holdOff[node] = time.Now().Add(s.backoff(s.fails[node]))
	s.signal(s.stale)
}

// received gives an answer's sections to their partitions.
func (s *source) received(node int32, feeds []*feed, req *wire.Fetch, got *wire.Fetched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.free(node, feeds)
	delete(s.fails, node)
	delete(s.holdOff, node)
	if got.Throttle > 0 {
		s.holdOff[node] = now.Add(got.Throttle)
	}
	at := 0
	for i := range got.Sections {
		p := &got.Sections[i]
		to := match(feeds, &at, p)
		switch {
		case to == nil || to.gone:
			release(p)
		case p.Code != 0:
			release(p)
			s.refused(to, code(p.Code), now)
		default:
			to.heard = now
			s.deliverable(to, p, req)
		}
	}
}

// match returns the partition that a section is of, nil for none. Brokers answer in the order of the
// request, so it is looked for from at on.
func match(feeds []*feed, at *int, p *wire.Section) *feed {
	for range feeds {
		f := feeds[*at]
		*at = (*at + 1) % len(feeds)
		if f.number == p.Partition && f.topic == p.Topic && f.reader == nil {
			return f
		}
	}
	return nil
}

func release(p *wire.Section) {
	if p.Records != nil {
		p.Records.Release()
	}
}

// deliverable puts a section in line. s.mu is held.
func (s *source) deliverable(f *feed, p *wire.Section, req *wire.Fetch) {
	f.fails = 0
	f.end = p.End
	if req.ReadCommitted {
		f.end = p.Stable
	}
	if p.Records == nil {
		return
	}
	f.reader = wire.NewReader(f.topic, p.Records, f.next, p.Aborted)
	f.reader.Limit = p.End
	if f.paused {
		s.discard(f)
		return
	}
	s.ready = append(s.ready, f)
}

// discard drops what is held of a partition; it is fetched again. s.mu is held.
func (s *source) discard(f *feed) {
	if f.reader == nil {
		return
	}
	n := f.reader.Held()
	f.next = f.reader.Next()
	f.reader.Close()
	f.reader = nil
	if !f.gone {
		s.host.Report(connectors.Event{Kind: connectors.Refetched, Partition: f.name, N: n})
	}
}

// refused handles a partition's error code. s.mu is held.
func (s *source) refused(f *feed, c code, now time.Time) {
	f.fails++
	f.notBefore = now.Add(s.backoff(f.fails))
	switch {
	case c == codeOffsetOutOfRange:
		// Left in the request, it would make every answer immediate and empty.
		f.located = false
		s.work.Go(func() { s.relocate(f) })
	case c.class() == classRefresh:
		f.leader = -1
		s.signal(s.stale)
	default:
		s.trouble = codeError(c, "fetch %s", f.name)
	}
}

// backoff returns how long to wait after n failures in a row.
func (s *source) backoff(n int) time.Duration {
	return min(maxBackoff, s.timing.backoff<<min(n-1, 10))
}

// partName names a partition as the bridge and people see it.
func partName(topic string, number int32) string { return fmt.Sprintf("%s/%d", topic, number) }
