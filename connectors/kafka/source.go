package kafka

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// source reads the partitions that its consumer group gives it. Three kinds of goroutine work for it:
// the member keeps the assignment, the keeper keeps the metadata, and each broker has at most one
// exchange, the one request that is out. They meet in what mu protects; the payload belongs to the
// goroutine that calls Fetch.
type source struct {
	cfg    SourceConfig
	timing timing
	route  string
	host   connectors.Host
	log    zerolog.Logger
	conn   *conn
	member *member
	window connectors.Room

	life context.Context //nolint:containedctx // ends with Close; goroutines of ours outlive the calls that begin them
	stop context.CancelFunc
	work sync.WaitGroup

	keptAt time.Time       // when kept was asked for; of askEnds
	told   string          // what the keeper told last of missing topics; of its goroutine
	first  map[string]bool // topics that the group has no position in; of the member's goroutine

	// Of the goroutine that calls Fetch.
	inflater wire.Inflater
	timer    *time.Timer

	pool wire.Pool
	outs sync.Pool // of *wire.Out

	wake   chan struct{} // capacity 1: Fetch looks again
	stale  chan struct{} // capacity 1: the keeper asks for metadata now
	paceMu sync.Mutex
	hurry  chan struct{} // closed while commits must not wait
	paced  time.Time     // when the last commit ended

	mu      sync.Mutex
	feeds   []*feed             // what is assigned, in order of assignment
	settled bool                // feeds are what the group gave us; false while it rebalances
	turns   map[int32]int       // requests sent, by broker: rotates the order in which partitions are asked for
	ready   []*feed             // hold data, the next to be served first
	look    bool                // a broker may be free for a request
	busy    map[int32]*question // by broker
	holdOff map[int32]time.Time // brokers that asked us to slow down, or failed
	fails   map[int32]int       // failed requests in a row, by broker
	fatal   error               // needs an operator
	trouble error               // does not, but somebody should know; told once
	topics  map[string]*topic   // as they were when first seen
	backlog backlog
	kept    []retention

	facts atomic.Pointer[connectors.Facts]
}

// feed is one partition that is assigned to us.
type feed struct {
	topic  string
	number int32
	name   string // topic/number
	origin string
	as     wire.Member // who we were when it was assigned: commits carry it (I9)

	// Protected by source.mu.
	located   bool // next is known
	gone      bool // revoked: whatever still comes of it is dropped
	paused    bool
	asked     bool // it is in a request that is out
	next      int64
	committed int64     // what the group was last told, -1: unknown
	gap       gap       // to be stepped over once everything before it is committed
	end       int64     // behind the last message, -1: unknown
	heard     time.Time // when end was told
	last      time.Time // of the message that was read last
	leader    int32     // -1: none
	notBefore time.Time
	fails     int
	cut       int // answers in a row that held nothing but a cut batch
	batch     int // size of the largest batch that was cut lately

	until int64 // the position to end at, -1: none; see SinkSpec.ReadBack

	reader *wire.Reader // what was fetched and not yet returned; of the goroutine that calls Fetch
}

// timing is how patient a source is. Tests shorten it.
type timing struct {
	session   time.Duration // the group gives our partitions away after so long without a heartbeat
	rebalance time.Duration // and after so long without a join, when it asks for one
	heartbeat time.Duration
	drain     time.Duration // how long a revoke waits for what is in flight
	wait      time.Duration // how long a broker holds a fetch when it has nothing
	request   time.Duration // how long any answer may take, that wait included
	metadata  time.Duration // how often metadata is asked for without need
	ends      time.Duration // how often it is asked where a partition ends that is not fetched
	pace      time.Duration // between two commits
	backoff   time.Duration // after the first failure; doubles up to maxBackoff
}

// Giving partitions back takes at most drain: who has not joined ten seconds after that is not waited for,
// and an answer to a join that has not come by then was lost. The session is shorter than Java's 45 s because
// a killed daemon's partitions wait for it; a coordinator that restarts gives its members a new one. A member
// learns only from a heartbeat that the group rebalances: their interval is how long partitions rest that
// another member has left.
func defaultTiming() timing {
	return timing{
		session: 10 * time.Second, rebalance: 40 * time.Second, heartbeat: time.Second, drain: 30 * time.Second,
		wait: 2 * time.Second, request: 15 * time.Second, metadata: 10 * time.Second,
		ends: time.Second, pace: 50 * time.Millisecond, backoff: 100 * time.Millisecond,
	}
}

const maxBackoff = 2 * time.Second

// openSource starts reading. It waits for nothing: the brokers may be away.
func openSource(_ context.Context, cfg SourceConfig, env connectors.Env) (connectors.Source, error) {
	return newSource(cfg, env, defaultTiming()), nil
}

func newSource(cfg SourceConfig, env connectors.Env, t timing) *source {
	life, stop := context.WithCancel(context.Background())
	s := &source{
		cfg: cfg, timing: t, route: env.Route, host: env.Host, log: env.Logger,
		conn: newConn(&cfg.Connection, &env), window: env.Window,
		life: life, stop: stop, timer: time.NewTimer(time.Hour),
		wake: make(chan struct{}, 1), stale: make(chan struct{}, 1), hurry: make(chan struct{}),
		busy: map[int32]*question{}, holdOff: map[int32]time.Time{}, fails: map[int32]int{},
		turns: map[int32]int{}, topics: map[string]*topic{}, first: map[string]bool{},
	}
	s.conn.held["topics"] = true // connected only once a topic is known that can be read; see missing
	s.outs.New = func() any { return new(wire.Out) }
	s.inflater = wire.Inflater{Pool: &s.pool, Cap: max(env.Window.Bytes, minInflate)}
	s.member = newMember(s)
	s.describe(max(1, len(cfg.Brokers)), "")
	s.work.Go(s.keep)
	s.work.Go(s.askEnds)
	s.work.Go(s.member.run)
	return s
}

// minInflate is how large a decompressed batch may be however small the window is.
const minInflate = 16 << 20

// Fetch implements connectors.Source. Requests to brokers outlive a call that was given up, and their
// answers wait for the next call.
func (s *source) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, wait, err := s.turnOf(room)
		if err != nil {
			return nil, err
		}
		if f != nil {
			b, err := s.take(f, room)
			if b != nil || err != nil {
				return b, err
			}
			continue
		}
		s.timer.Reset(wait)
		select {
		case <-s.wake:
		case <-s.timer.C:
		case <-ctx.Done():
		}
	}
}

// turnOf sends the requests that room allows and returns the partition whose turn it is, if one has data.
// Without, it says how long to wait at most.
func (s *source) turnOf(room connectors.Room) (*feed, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fatal != nil {
		return nil, 0, connectors.Permanent(s.fatal)
	}
	wait := time.Second
	if s.look || len(s.ready) == 0 {
		s.look = false
		wait = s.request(room, time.Now())
	}
	for len(s.ready) > 0 {
		f := s.ready[0]
		s.ready = s.ready[1:]
		if !f.gone && !f.paused {
			return f, 0, nil
		}
		s.discard(f)
		wait = 0
	}
	if s.ended() {
		return nil, 0, io.EOF
	}
	if err := s.trouble; err != nil {
		s.trouble = nil
		return nil, 0, err
	}
	return nil, wait, nil
}

// Pause implements connectors.Pauser.
func (s *source) Pause(partition string) { s.setPaused(partition, true) }

// Resume implements connectors.Pauser.
func (s *source) Resume(partition string) { s.setPaused(partition, false) }

func (s *source) setPaused(name string, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		if f.name == name {
			f.paused = paused
			s.look = true
		}
	}
}

// Restart implements connectors.Restarter. Connections and metadata are renewed where a partition that is
// behind has a leader to be asked.
func (s *source) Restart(error) bool {
	s.mu.Lock()
	behind := slices.ContainsFunc(s.feeds, func(f *feed) bool { return f.located && !f.paused && f.leader >= 0 && f.next < f.end })
	s.mu.Unlock()
	if behind {
		s.conn.renew()
		s.signal(s.stale)
	}
	return behind
}

// Close implements connectors.Source: it says goodbye to the group, unless membership is static.
func (s *source) Close(ctx context.Context) error {
	s.stop()
	s.signal(s.wake)
	s.work.Wait()
	err := s.member.leave(ctx)
	s.conn.close()
	s.inflater.Close()
	return err
}

func (s *source) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fail makes Fetch return a permanent error from now on.
func (s *source) fail(err error) {
	s.mu.Lock()
	if s.fatal == nil {
		s.fatal = err
	}
	s.mu.Unlock()
	s.signal(s.wake)
}

// tell makes Fetch return err once.
func (s *source) tell(err error) {
	s.mu.Lock()
	s.trouble = err
	s.mu.Unlock()
	s.signal(s.wake)
}
