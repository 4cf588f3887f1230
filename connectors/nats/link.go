package nats

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// link carries frames to and from the server over a connection whose handshake, pings and reconnects are
// nats.go's. Beside a socket of ours there is one that costs nothing a message; the plain one goes through
// nats.go, which allocates for each, and works where there is no place beside it: TLS, websockets.
//
// A link lasts as long as one life of the connection.
type link interface {
	// subscribe has take called with whatever comes to the subjects, one call at a time and in the order in
	// which the server sent it, until unsubscribe was called or the connection is lost. take must not block.
	// The plain link holds depth messages at most that were not taken.
	subscribe(depth int, take func(*arrival), subjects ...string) (unsubscribe func(), err error)
	// send sends whole frames as appendFrame makes them. It blocks while the server takes nothing.
	send(frames []byte) error
}

// link returns the best link that a connection offers now, and the socket under it, by which one life of the
// connection is told from another.
func (c *conn) link(nc *nats.Conn) (link, *socket, error) {
	s := c.sockets.newest()
	if !nc.IsConnected() || s == nil || s != c.sockets.newest() {
		return nil, nil, nats.ErrConnectionReconnecting // by now the socket may be another one, in its handshake
	}
	if s.beside() && !c.plain {
		return s, s, nil
	}
	return &plainLink{nc: nc, sockets: c.sockets, socket: s}, s, nil
}

// plainLink goes through nats.go.
type plainLink struct {
	nc      *nats.Conn
	sockets *sockets
	socket  *socket // of the life of the connection
	pool    arrivalPool
}

// subscribe implements link.
func (l *plainLink) subscribe(depth int, take func(*arrival), subjects ...string) (func(), error) {
	came := make(chan *nats.Msg, depth)
	over := make(chan struct{})
	subs := make([]*nats.Subscription, 0, len(subjects))
	var done sync.WaitGroup
	unsubscribe := func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe() // only fails where there is nothing left
		}
		close(over)
		done.Wait()
	}
	for _, subject := range subjects {
		sub, err := l.nc.ChanSubscribe(subject, came)
		if err != nil {
			unsubscribe()
			return nil, fmt.Errorf("nats: subscribe: %w", explain(err))
		}
		subs = append(subs, sub)
	}
	done.Go(func() {
		for {
			select {
			case m := <-came:
				for i, sub := range subs {
					if m.Sub == sub {
						a := l.pool.get(nil)
						a.frames = append(a.frames, frameOf(m, i))
						take(a)
					}
				}
			case <-over:
				return
			}
		}
	})
	return unsubscribe, nil
}

// frameOf makes a frame of what nats.go has parsed for one of the subjects. Headers that nats.go cannot read it leaves out, which
// only the size tells: the frame has some then that nobody can read.
func frameOf(m *nats.Msg, of int) frame {
	f := frame{subject: m.Subject, reply: m.Reply, body: m.Data, of: int32(of)}
	var head []byte
	switch {
	case m.Header != nil:
		head = appendBlock(nil, m.Header)
	case m.Size() > f.size():
		head = make([]byte, m.Size()-f.size())
	default:
		return f
	}
	f.body, f.headed = append(head, m.Data...), int32(len(head))
	return f
}

// send implements link. nats.go would send the rest of the frames over the next connection: there they would
// come behind what is sent again.
func (l *plainLink) send(frames []byte) error {
	for len(frames) > 0 {
		if l.sockets.newest() != l.socket {
			return errLost
		}
		f, rest, err := cutFrame(frames)
		if err != nil {
			return err
		}
		frames = rest
		m := &nats.Msg{Subject: f.subject, Reply: f.reply, Data: f.data()}
		if f.headed > 0 {
			if m.Header, err = nats.DecodeHeadersMsg(f.head()); err != nil {
				return err
			}
		}
		if err := l.nc.PublishMsg(m); err != nil {
			return explain(err)
		}
	}
	return nil
}
