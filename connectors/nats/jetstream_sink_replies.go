package nats

import (
	"context"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// replies hands the answers of the server to the flights they belong to. One subscription takes them
// all: an answer's subject is <inbox>.<token of the flight>.<what was answered>.
type replies struct {
	inbox string // "_INBOX.xyz."

	mu      sync.Mutex
	nc      *nats.Conn // where the subscription is; nats.go renews it after a reconnect
	flights map[string]*flight
}

func newReplies() *replies {
	return &replies{inbox: nats.NewInbox() + ".", flights: map[string]*flight{}}
}

// subscribe returns when the server knows the subscription.
func (r *replies) subscribe(ctx context.Context, nc *nats.Conn) error {
	r.mu.Lock()
	have := r.nc == nc
	r.mu.Unlock()
	if !have {
		sub, err := nc.Subscribe(r.inbox+">", r.answer)
		if err != nil {
			return err
		}
		// What is in flight bounds the answers; a limit here could only lose some.
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return err
		}
		r.mu.Lock()
		r.nc = nc
		r.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

func (r *replies) add(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flights[f.token] = f
}

func (r *replies) remove(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, f.token)
}

// count returns how many flights there are.
func (r *replies) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.flights)
}

// oldest returns the lowest sequence behind which something in flight may be stored, and the origins
// of what is in flight.
func (r *replies) oldest() (low uint64, origins map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	low, origins = ^uint64(0), map[string]bool{}
	for _, f := range r.flights {
		low = min(low, f.after)
		for _, origin := range f.origins {
			origins[origin] = true
		}
	}
	return low, origins
}

// answer is called by nats.go for one message after the other and does not block.
func (r *replies) answer(m *nats.Msg) {
	token, rest, ok := strings.Cut(m.Subject[min(len(r.inbox), len(m.Subject)):], ".")
	if !ok {
		return
	}
	r.mu.Lock()
	f := r.flights[token]
	r.mu.Unlock()
	if f == nil {
		return // an answer to what was given up
	}
	status := ""
	if len(m.Data) == 0 && len(m.Header) > 0 {
		status = m.Header.Get("Status")
	}
	if f.fast {
		f.answerFast(rest, status, m.Data)
	} else {
		f.answerOne(rest, status, m.Data)
	}
}
