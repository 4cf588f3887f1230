package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/telemetry"
)

const (
	// lookEvery is how often the routes are looked at while somebody watches.
	lookEvery = time.Second
	// linger is for how long they are looked at when nobody does any more: a page that is loaded again,
	// or lost its connection, goes on without a gap.
	linger = time.Minute
	// maxClients is how many may watch at once.
	maxClients = 16
	// backlog is how many events may wait for a client before it is dropped.
	backlog = 16
)

// Why a client is not let in.
var (
	errCrowded = fmt.Errorf("%d pages are open already; close one", maxClients)
	errClosed  = errors.New("the daemon is ending")
)

// Feed looks at the routes and tells everybody who watches. Its methods may be called from any goroutine.
type Feed struct {
	read func() telemetry.ProcessStatus

	mu      sync.Mutex
	clients map[*client]bool
	closed  bool
	stop    context.CancelFunc // of the goroutine that looks; nil while none does
	ended   chan struct{}      // closed when it has ended
	left    time.Time          // when the last client went

	seq      uint64
	instance string
	history  history
	last     []byte // the latest status event
}

// client is somebody who watches. Its events are closed when it is dropped.
type client struct {
	events chan []byte
}

// NewFeed returns a feed of what read returns. read is called once a second while somebody watches, by one
// goroutine, and must not block for long.
func NewFeed(read func() telemetry.ProcessStatus) *Feed {
	return &Feed{read: read, clients: map[*client]bool{}}
}

// Close ends all streams and returns when the feed looks no more. Nobody is let in after it.
func (f *Feed) Close() {
	f.mu.Lock()
	f.closed = true
	for c := range f.clients {
		f.drop(c)
	}
	stop, ended := f.stop, f.ended
	f.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
}

// join lets a client in that has had all events up to the one with the id after.
func (f *Feed) join(after string) (*client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errClosed
	case len(f.clients) >= maxClients:
		return nil, errCrowded
	}
	c := &client{events: make(chan []byte, backlog)}
	if f.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		f.stop, f.ended = stop, make(chan struct{})
		f.look() // so that there is something to tell
		go f.run(ctx, f.ended)
	}
	instance, number, _ := strings.Cut(after, "/")
	seq, err := strconv.ParseUint(number, 10, 64)
	reset := instance != f.instance || err != nil || seq > f.seq
	if reset {
		seq = 0
	}
	c.events <- event("history", "", f.history.since(seq, reset))
	c.events <- f.last
	f.clients[c] = true
	return c, nil
}

// leave lets a client go.
func (f *Feed) leave(c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(c)
}

func (f *Feed) drop(c *client) {
	if f.clients[c] {
		delete(f.clients, c)
		close(c.events)
		f.left = time.Now()
	}
}

// run looks at the routes until nobody has watched for a while.
func (f *Feed) run(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		f.mu.Lock()
		if len(f.clients) == 0 && time.Since(f.left) >= linger {
			f.stop()
			f.stop = nil
			f.mu.Unlock()
			return
		}
		f.look()
		f.mu.Unlock()
	}
}

// look looks at the routes and tells it to all clients. One that has not taken what it was told before is
// dropped: it holds up nobody.
func (f *Feed) look() {
	s := f.read()
	text, err := json.Marshal(s)
	if err != nil {
		return // everything in it is marshalled by /status too, which tells
	}
	f.seq++
	f.instance = s.Instance
	f.history.add(f.seq, &s)
	f.last = event("status", fmt.Sprintf("%s/%d", f.instance, f.seq), text)
	for c := range f.clients {
		select {
		case c.events <- f.last:
		default:
			f.drop(c)
		}
	}
}

// event is one server-sent event. data is one line.
func event(name, id string, data []byte) []byte {
	out := fmt.Appendf(nil, "event: %s\n", name)
	if id != "" {
		out = fmt.Appendf(out, "id: %s\n", id)
	}
	return fmt.Appendf(out, "data: %s\n\n", data)
}
