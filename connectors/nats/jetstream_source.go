package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

const defaultWindow = 8192

// jetStreamSource reads a durable. One goroutine (run) holds the connection, the ownership and the
// session; Fetch and Commit use the session that is live.
type jetStreamSource struct {
	cfg     JetStreamSourceConfig
	env     connectors.Env
	conn    *conn
	durable durable
	window  int // messages
	pace    pace
	stop    context.CancelFunc
	done    chan struct{}

	flights  flights
	payloads payloads
	acking   chan struct{}                     // a token: who holds it may acknowledge, or end the session for others
	lag      atomic.Int64                      // -1: unknown
	unread   atomic.Pointer[connectors.Unread] // nil: nothing is, or it is not known

	mu       sync.Mutex
	live     *pullSession  // nil while there is none
	fetching bool          // Fetch uses a session
	changed  chan struct{} // closed and replaced when live, fetching or fatal changes
	fatal    error         // Permanent: Fetch returns it
	owner    string        // another instance that owns the durable
	facts    connectors.Facts
	origin   string

	gaps     gapFinder
	looked   chan struct{} // capacity 1, nil unless the source ends: how much there is was looked at
	position atomic.Int64  // the highest stream sequence returned by this ownership
	stamp    atomic.Int64  // when the stream stored that message, in Unix nanoseconds
	full     atomic.Bool   // all that the durable may deliver awaits its acknowledgement
	settled  atomic.Uint64 // the acknowledgement floor as last seen
	finished atomic.Uint64 // the highest stream sequence committed by this ownership

	// Fetch's own.
	timer *time.Timer

	lastCommit time.Time // Commit's own

	// run's own.
	mark        mark
	listening   *nats.Conn // where the liveness inbox is subscribed
	life        <-chan struct{}
	upSince     time.Time
	reconnected bool
	up          bool
	noted       string    // the last error that was reported
	retried     time.Time // when the last session that broke was reported
	created     time.Time // when the stream was created
	blind       bool      // the user may not read single messages
	known       bool      // position and settled are of the ownership that is or was last ours
	assigned    bool      // the bridge knows the partition as ours
	ack         ackForm
	ahead       ahead
}

// newJetStreamSource starts connecting and returns at once.
func newJetStreamSource(cfg JetStreamSourceConfig, env connectors.Env, pace pace) *jetStreamSource {
	s := prepareJetStreamSource(cfg, env, pace)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	return s
}

// prepareJetStreamSource makes a source that connects and does nothing.
func prepareJetStreamSource(cfg JetStreamSourceConfig, env connectors.Env, pace pace) *jetStreamSource {
	s := &jetStreamSource{
		cfg: cfg, env: env, window: env.Window.Messages, pace: pace,
		done: make(chan struct{}), changed: make(chan struct{}), acking: make(chan struct{}, 1),
		timer: time.NewTimer(time.Hour),
		mark:  mark{instance: instanceName(env.Instance), inbox: nats.NewInbox()},
	}
	if s.window < 1 {
		s.window = defaultWindow
	}
	s.lag.Store(-1)
	if cfg.until > 0 {
		s.looked = make(chan struct{}, 1)
	}
	s.facts = sourceFacts(&cfg)
	s.conn = dial(&cfg.Connection, &env, true)
	s.durable = durable{conn: s.conn, stream: cfg.Stream, name: cfg.Durable}
	return s
}

// notify is called with s.mu held.
func (s *jetStreamSource) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await returns the live session to Fetch, which has to call leave.
func (s *jetStreamSource) await(ctx context.Context) (*pullSession, error) {
	for {
		s.mu.Lock()
		live, fatal, changed := s.live, s.fatal, s.changed
		if live != nil && fatal == nil {
			s.fetching = true
		}
		s.mu.Unlock()
		switch {
		case fatal != nil:
			return nil, fatal
		case live != nil:
			return live, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *jetStreamSource) leave() {
	s.mu.Lock()
	s.fetching = false
	s.notify()
	s.mu.Unlock()
}

// Fetch waits for messages; while the server is away or another instance owns the durable it waits
// too. Beyond room the source holds redeliveryBytes after a reset.
func (s *jetStreamSource) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for {
		p, err := s.await(ctx)
		if err != nil {
			return nil, err
		}
		b, err := s.fetch(ctx, p, room)
		s.leave()
		var noRoom *connectors.NoRoomError
		switch {
		case b != nil:
			return b, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &noRoom), errors.Is(err, io.EOF):
			return nil, err
		}
		p.end(err)
		if err := s.awaitEnd(ctx, p); err != nil {
			return nil, err
		}
	}
}

// awaitEnd waits until p is not the live session any more.
func (s *jetStreamSource) awaitEnd(ctx context.Context, p *pullSession) error {
	for {
		s.mu.Lock()
		live, changed := s.live, s.changed
		s.mu.Unlock()
		if live != p {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fetch returns the next batch of p, or the reason why p is over.
func (s *jetStreamSource) fetch(ctx context.Context, p *pullSession, room connectors.Room) (*connectors.Batch, error) {
	for {
		if s.ended(p) {
			return nil, io.EOF
		}
		if err := p.pull(room); err != nil {
			if errors.Is(err, errNoRoom) {
				return nil, &connectors.NoRoomError{Need: room.Bytes + 2*messageOverhead}
			}
			return nil, err
		}
		e, err := s.next(ctx, p)
		switch {
		case errors.Is(err, errTooLarge):
			if !p.narrow || room.Alone {
				p.narrow = true // once more, with all the room for one message
				continue
			}
			// The server does not tell the size, so this is the most it can be.
			return nil, &connectors.NoRoomError{Need: max(room.Bytes+1, grown(p.conn.maxPayload())+2*messageOverhead)}
		case errors.Is(err, errPullEnded), errors.Is(err, errLooked):
			continue
		case err != nil:
			return nil, err
		}
		p.narrow = false
		if s.beyond(e.Stream) {
			p.putBack(e)
			continue
		}
		if need := e.memory(); need > room.Bytes && !room.Alone {
			p.putBack(e)
			return nil, &connectors.NoRoomError{Need: need}
		}
		return s.collect(p, e, room)
	}
}

// errPullEnded says that a pull ended and another may be sent.
var errPullEnded = errors.New("pull ended")

// next waits for a message that is not in flight.
func (s *jetStreamSource) next(ctx context.Context, p *pullSession) (entry, error) {
	for {
		if len(p.carry) > 0 {
			return p.pop(), nil
		}
		f, of, block, err := s.receive(ctx, p, silentAfter, s.looked)
		if err != nil {
			return entry{}, err
		}
		e, ok, err := p.take(f, of, block)
		if err != nil {
			return entry{}, err
		}
		if !ok {
			if held, _ := p.held(); held == 0 {
				return entry{}, errPullEnded
			}
			continue
		}
		if p.ordered || !s.flights.twin(e.Stream) {
			return e, nil
		}
	}
}

// receive waits for whatever comes to the session's slots, or for looked, which may be nil.
func (s *jetStreamSource) receive(ctx context.Context, p *pullSession, silent time.Duration, looked <-chan struct{}) (*frame, *slot, *block, error) {
	for waiting := false; ; waiting = true {
		if f, of, block := p.arrived(); f != nil {
			return f, of, block, nil
		}
		if !waiting {
			s.timer.Reset(silent)
		}
		select {
		case <-p.came.wake:
		case <-ctx.Done():
			return nil, nil, nil, ctx.Err()
		case <-p.over:
			return nil, nil, nil, p.err
		case <-looked:
			return nil, nil, nil, errLooked
		case <-s.timer.C:
			return nil, nil, nil, fmt.Errorf("nothing has come for %v, not even a heartbeat", silent)
		}
	}
}

// ready returns the next message if one has come. What goes wrong here is met again by the next Fetch, for a
// session that is over stays so.
func (s *jetStreamSource) ready(p *pullSession) (entry, bool) {
	for {
		var e entry
		if len(p.carry) > 0 {
			e = p.pop()
		} else {
			f, of, block := p.arrived()
			if f == nil {
				return entry{}, false
			}
			got, ok, err := p.take(f, of, block)
			switch {
			case errors.Is(err, errTooLarge):
				p.narrow = true
				return entry{}, false
			case err != nil:
				p.end(err)
				return entry{}, false
			case !ok || !p.ordered && s.flights.twin(got.Stream):
				continue
			}
			e = got
		}
		if s.beyond(e.Stream) {
			p.putBack(e)
			return entry{}, false
		}
		return e, true
	}
}

// Lag returns the messages of the stream that were not fetched. Any goroutine.
func (s *jetStreamSource) Lag() (int64, bool) {
	n := s.lag.Load()
	return n, n >= 0
}

// Restart implements connectors.Restarter: a new session, unless all that the durable may deliver awaits
// its acknowledgement.
func (s *jetStreamSource) Restart(why error) bool {
	s.mu.Lock()
	live := s.live
	s.mu.Unlock()
	if live == nil || s.full.Load() {
		return false
	}
	live.end(fmt.Errorf("%w: %w", errSessionLost, why))
	return true
}

// Describe says what the source does. Any goroutine.
func (s *jetStreamSource) Describe() connectors.Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.facts
	f.Owner = s.owner
	return f
}

// Close takes the owner mark away, so that an instance that stands by takes over, and ends the
// connection.
func (s *jetStreamSource) Close(ctx context.Context) error {
	// Where a frozen server takes nothing, nats.go holds its lock while it writes.
	defer context.AfterFunc(ctx, s.conn.sockets.close)()
	s.stop()
	<-s.done
	var err error
	s.mu.Lock()
	standby := s.owner != ""
	s.mu.Unlock()
	if s.mark.session > 0 && !standby {
		err = s.resign(ctx)
	}
	s.conn.close(ctx)
	return err
}
