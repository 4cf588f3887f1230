package nats

import (
	"fmt"
	"strconv"
)

// Write implements net.Conn for nats.go, which flushes whole frames only: the lock is all that is needed
// for two writers. It blocks while the peer takes nothing. A write that fails breaks the socket, for part of
// a frame may be out.
func (s *socket) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	n, err := s.Conn.Write(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

// send implements link.
func (s *socket) send(frames []byte) error {
	_, err := s.Write(frames)
	return err
}

// subscription is what comes to several subjects.
type subscription struct {
	take  func(*arrival)
	names []string // sids, by subject
}

// sidMark begins the names of our subscriptions; those of nats.go are numbers.
const sidMark = 'T'

// subscribe implements link.
func (s *socket) subscribe(_ int, take func(*arrival), subjects ...string) (func(), error) {
	sub := &subscription{take: take}
	var frames []byte
	for i, subject := range subjects {
		sid := string(sidMark) + strconv.FormatUint(s.sids.Add(1), 10)
		sub.names = append(sub.names, sid)
		s.routes.set(sid, route{sub, i})
		frames = fmt.Appendf(frames, "SUB %s %s\r\n", subject, sid)
	}
	if err := s.send(frames); err != nil {
		s.forget(sub)
		return nil, fmt.Errorf("nats: subscribe: %w", err)
	}
	return func() {
		s.forget(sub)
		frames := frames[:0:0]
		for _, sid := range sub.names {
			frames = fmt.Appendf(frames, "UNSUB %s\r\n", sid)
		}
		_ = s.send(frames) // a socket that is broken has no subscriptions
	}, nil
}

// forget has nothing taken any more that comes for sub.
func (s *socket) forget(sub *subscription) {
	for _, sid := range sub.names {
		s.routes.remove(sid)
	}
}
