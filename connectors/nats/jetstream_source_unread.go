package nats

import (
	"context"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// aheadEvery is how often the stream is looked at while there is something to read, and paceOver over how long
// what is written to it is counted, at least.
const (
	aheadEvery = 2 * time.Second
	paceOver   = 10 * time.Second
	// restEvery is how often it is looked at while there is nothing to read.
	restEvery = 30 * time.Second
)

// ahead is what a session knows of the time that is left for what was not read. One goroutine.
type ahead struct {
	looked     time.Time
	from, next streamEnd // from is at least paceOver old once there was time for that
}

// streamEnd is where a stream ended at a time.
type streamEnd struct {
	at   time.Time
	last uint64
}

// Unread implements connectors.Forecaster.
func (s *jetStreamSource) Unread() connectors.Unread {
	if u := s.unread.Load(); u != nil {
		return *u
	}
	return connectors.Unread{}
}

// lookAhead learns how old the oldest message is that was not read, and when the stream removes it.
func (s *jetStreamSource) lookAhead(ctx context.Context, lag int64, acknowledged uint64) {
	now, every := time.Now(), aheadEvery
	if lag == 0 {
		every = restEvery
		if u := s.Unread(); !u.Oldest.IsZero() {
			s.unread.Store(&connectors.Unread{Kept: u.Kept, Limit: u.Limit})
		}
	}
	if now.Sub(s.ahead.looked) < every {
		return
	}
	s.ahead.looked = now
	stream, err := s.durable.streamInfo(ctx)
	if err != nil {
		return
	}
	position := max(uint64(s.position.Load()), acknowledged)
	if lag == 0 {
		u := connectors.Unread{}
		s.ahead.keeps(&u, stream, s.ahead.pace(now, stream.State.LastSeq))
		s.unread.Store(&u)
		return
	}
	u := connectors.Unread{Oldest: stream.State.FirstTime}
	if stamp := s.stamp.Load(); stamp > 0 && position >= stream.State.FirstSeq {
		u.Oldest = time.Unix(0, stamp)
	}
	s.ahead.forecast(&u, stream, position, now)
	s.unread.Store(&u)
}

// forecast sets when the first of the stream's limits removes what stands behind position.
func (a *ahead) forecast(u *connectors.Unread, stream *streamInfo, position uint64, now time.Time) {
	c, state := &stream.Config, &stream.State
	earlier := func(at time.Time, limit string) {
		if u.Lost.IsZero() || at.Before(u.Lost) {
			u.Lost, u.Limit = at, limit
		}
	}
	perSecond := a.pace(now, state.LastSeq)
	a.keeps(u, stream, perSecond)
	if c.MaxAge > 0 {
		earlier(u.Oldest.Add(c.MaxAge), "max_age of the stream")
	}
	if c.Discard != "old" || perSecond == 0 || state.Messages == 0 {
		return
	}
	unread := float64(state.LastSeq - min(state.LastSeq, max(position, state.FirstSeq-1)))
	after := func(messages float64) time.Time {
		seconds := max(0, messages) / perSecond
		return now.Add(time.Duration(min(seconds, 1e8) * float64(time.Second))) // three years are never
	}
	if c.MaxMsgs > 0 {
		earlier(after(float64(c.MaxMsgs)-unread), "max_msgs of the stream")
	}
	if size := float64(state.Bytes) / float64(state.Messages); c.MaxBytes > 0 && size > 0 {
		earlier(after(float64(c.MaxBytes)/size-unread), "max_bytes of the stream")
	}
}

// keeps sets how long the stream keeps a message that is written now, with so many a second.
func (a *ahead) keeps(u *connectors.Unread, stream *streamInfo, perSecond float64) {
	c, state := &stream.Config, &stream.State
	shorter := func(seconds float64, limit string) {
		if kept := time.Duration(min(seconds, 1e8) * float64(time.Second)); u.Kept == 0 || kept < u.Kept {
			u.Kept, u.Limit = kept, limit
		}
	}
	if c.MaxAge > 0 {
		shorter(c.MaxAge.Seconds(), "max_age of the stream")
	}
	if c.Discard != "old" || perSecond == 0 || state.Messages == 0 {
		return
	}
	if c.MaxMsgs > 0 {
		shorter(float64(c.MaxMsgs)/perSecond, "max_msgs of the stream")
	}
	if size := float64(state.Bytes) / float64(state.Messages); c.MaxBytes > 0 && size > 0 {
		shorter(float64(c.MaxBytes)/size/perSecond, "max_bytes of the stream")
	}
}

// pace returns how many messages a second are written to a stream that ends at last now; 0: none, or it is not
// known yet.
func (a *ahead) pace(now time.Time, last uint64) (perSecond float64) {
	switch {
	case a.from.at.IsZero():
		a.from, a.next = streamEnd{now, last}, streamEnd{now, last}
	case now.Sub(a.next.at) >= paceOver:
		a.from, a.next = a.next, streamEnd{now, last}
	}
	if d := now.Sub(a.from.at).Seconds(); d > 0 && last > a.from.last {
		return float64(last-a.from.last) / d
	}
	return 0
}
