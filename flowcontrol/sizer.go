package flowcontrol

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// MaxPatience is the longest that a Sizer says an acknowledgement may take.
	MaxPatience = 10 * StallAfter
	// worthIt is the elasticity from which on a larger hard bound would bring a good deal more.
	worthIt = 0.2
)

// Sizer finds how many messages in flight keep one sink busy, and gives the windows that feed it that
// many, in equal parts. Several windows have one Sizer because two that search for themselves each see
// that more of their own brings more, at the other's cost. Any goroutine may call it, once for all that a
// sink acknowledges at once: it locks, and does not allocate.
//
// See knee for how it searches.
type Sizer struct {
	mu     sync.Mutex
	knee   knee
	begin  time.Time // 0 of the knee's clock; zero until a window has joined
	shares []*Share  // by the hard bound of their windows, the least first
	given  float64   // the limit that the windows have
	active int       // shares that need theirs, when it was given
}

// Share is one window's part in a Sizer.
type Share struct {
	sizer   *Sizer
	window  *Window
	pressed bool    // the window was full of messages, less than a window of acknowledgements ago
	since   float64 // messages acknowledged since then
	idle    int64   // messages that stuck lanes hold
}

// Advice is what a Sizer has found.
type Advice struct {
	// Asked is how many messages in flight the sink is worth: the present limit, or more where the hard
	// bound is what holds the limit down. 0: not known yet.
	Asked int64
	// Residence is how long messages are in flight with the present limit, Least how long with the least
	// that was tried: the round trip and what a sink needs for a few.
	Residence, Least time.Duration
}

// Join gives w a part. It begins with little: a sink that turns out to be slow has not much to answer.
func (s *Sizer) Join(w *Window, now time.Time) *Share {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &Share{sizer: s, window: w}
	s.shares = append(s.shares, m)
	slices.SortStableFunc(s.shares, func(a, b *Share) int { return int(a.window.hard.Messages - b.window.hard.Messages) })
	if s.begin.IsZero() {
		s.begin = now
		s.knee = newKnee(s.most())
	}
	s.knee.resize(s.at(now), s.most())
	s.give(true)
	return m
}

// Leave takes the part back. The window keeps its limit.
func (m *Share) Leave(now time.Time) {
	s := m.sizer
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares = slices.DeleteFunc(s.shares, func(o *Share) bool { return o == m }); len(s.shares) > 0 {
		s.knee.resize(s.at(now), s.most())
		s.give(true)
	}
}

// Press says that the source would have brought more now if the window had allowed more messages.
func (m *Share) Press() {
	s := m.sizer
	s.mu.Lock()
	defer s.mu.Unlock()
	m.pressed, m.since = true, 0
	s.give(false)
}

// Hold says how many messages are held by lanes that do not move while others do. They keep no sink busy,
// so the window gets them on top of its part: else they could take all of it from those that move.
func (m *Share) Hold(messages int64) {
	s := m.sizer
	s.mu.Lock()
	defer s.mu.Unlock()
	if messages != m.idle {
		m.idle = messages
		s.give(true)
	}
}

// Acknowledged says that so many messages were acknowledged at once, which were in flight for residence
// on average. It returns how long the next acknowledgement may take before the sink does not answer: as
// a rule StallAfter, and more of a sink that takes long while the window is kept small.
func (m *Share) Acknowledged(now time.Time, messages int, residence time.Duration) (patience time.Duration) {
	s := m.sizer
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knee.sample(s.at(now), float64(messages), math.Max(1e-9, residence.Seconds()), m.pressed)
	if m.since += float64(messages); m.since > float64(m.window.Limit().Messages) {
		m.pressed = false
	}
	s.give(false)
	if m.window.Limit().Messages >= m.window.hard.Messages {
		return StallAfter
	}
	return max(StallAfter, min(MaxPatience, 2*seconds(s.knee.mean)))
}

// Throttled says that the sink asked for less.
func (m *Share) Throttled(now time.Time) {
	s := m.sizer
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knee.throttled(s.at(now))
	s.give(false)
}

// Reconnected says that the sink was away: it may have come back as another, at another distance.
func (m *Share) Reconnected(now time.Time) {
	s := m.sizer
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knee.forget(s.at(now))
	s.give(false)
}

// Advice returns what was found so far.
func (m *Share) Advice() (a Advice) {
	s := m.sizer
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &s.knee
	if k.mean == 0 {
		return a
	}
	a.Asked, a.Residence = int64(math.Round(k.asked())), seconds(k.mean)
	if !math.IsInf(k.least, 1) {
		a.Least = seconds(k.least)
	}
	return a
}

func (s *Sizer) at(now time.Time) float64 { return now.Sub(s.begin).Seconds() }

func (s *Sizer) most() (messages float64) {
	for _, m := range s.shares {
		messages += float64(m.window.hard.Messages)
	}
	return messages
}

// give sets the windows' limits, if they have changed or always is true. A window that does not need its
// part has what it would get if it did: so it can show that it does.
func (s *Sizer) give(always bool) {
	active := 0
	for _, m := range s.shares {
		if m.pressed {
			active++
		}
	}
	if !always && s.knee.limit == s.given && active == s.active {
		return
	}
	s.given, s.active = s.knee.limit, active
	left, parts := s.given, float64(active)
	for _, m := range s.shares {
		part := s.given / float64(active+1)
		if m.pressed {
			part = math.Min(left/parts, float64(m.window.hard.Messages))
			left, parts = left-part, parts-1
		}
		limit := m.window.hard
		limit.Messages = int64(math.Max(1, math.Round(part))) + m.idle
		m.window.Resize(limit)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
