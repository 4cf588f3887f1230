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
	socket  *socket // where the subscription is
	end     func()  // ends it
	flights map[string]*flight
}

func newReplies() *replies {
	return &replies{inbox: nats.NewInbox() + ".", flights: map[string]*flight{}}
}

// subscribe returns when the server knows the subscription. One goroutine calls it.
func (r *replies) subscribe(ctx context.Context, nc *nats.Conn, link link, socket *socket) error {
	r.mu.Lock()
	have := r.socket == socket
	r.mu.Unlock()
	if !have {
		r.close()
		// What is in flight bounds the answers.
		end, err := link.subscribe(maxInFlight/minWeight+maxProbes, r.answers, r.inbox+">")
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.socket, r.end = socket, end
		r.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

// maxProbes is how many answers to probes may come beside those to messages.
const maxProbes = 1024

// close ends the subscription, if there is one.
func (r *replies) close() {
	r.mu.Lock()
	end := r.end
	r.socket, r.end = nil, nil
	r.mu.Unlock()
	if end != nil {
		end()
	}
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

// answers is called for one arrival after the other and does not block.
func (r *replies) answers(a *arrival) {
	defer a.release()
	var f *flight
	token := ""
	for i := range a.frames {
		m := &a.frames[i]
		of, rest, ok := strings.Cut(m.subject[min(len(r.inbox), len(m.subject)):], ".")
		if !ok {
			continue
		}
		if f == nil || of != token {
			token = of
			r.mu.Lock()
			f = r.flights[of]
			r.mu.Unlock()
		}
		if f == nil {
			continue // an answer to what was given up
		}
		code := ""
		if len(m.body) == int(m.headed) && m.headed > 0 {
			code, _ = status(m.head())
		}
		if f.fast {
			f.answerFast(rest, code, m.data())
		} else {
			f.answerOne(rest, code, m.data())
		}
	}
}
