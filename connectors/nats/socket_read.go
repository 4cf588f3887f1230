package nats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// maxLine bounds a line of the protocol; the longest is INFO with the addresses of a cluster.
	maxLine = 1 << 20
	// maxFrame bounds a message; a server's max_payload is 64 MiB at most.
	maxFrame = 80 << 20
	// all, as a number of bytes that are nats.go's, is everything from here on.
	all = math.MaxInt
	// leastRead is how much of a block must be left to read into it.
	leastRead = 8 << 10
)

// socket is a link and the net.Conn under nats.go, which reads through it: frames of our subscriptions stay
// here, where they are parsed in place, all else passes. Only one goroutine reads, which is nats.go's; what
// it finds for us it hands over and reads on.
//
// Where the server's first words are not INFO (a websocket, or TLS at once), or say that TLS follows,
// everything passes: nats.go begins TLS by itself where the server requires it and the configuration has no tls.
// Where it has, the socket is above TLS (sockets.secure), and is a link like any other.
type socket struct {
	net.Conn
	writing sync.Mutex
	sids    atomic.Uint64
	routes  routes
	ours    atomic.Bool // the socket is a link
	secured bool        // TLS is under the socket: what it reads is in the clear

	// Of the goroutine that reads.
	blocks   *blocks
	arrivals *arrivalPool
	block    *block
	from, to int  // bytes of block that were read and not yet parsed or passed
	quiet    bool // what was read last was little, and all there was
	greeted  bool // the first words have come
	theirs   int  // bytes from here on that are nats.go's, whether read or not
	recent   [2]recentRoute
	older    int           // of the two
	arrival  *arrival      // what was parsed and is not handed over
	taker    *subscription // of the arrival
}

func newSocket(c net.Conn, pool *blocks, arrivals *arrivalPool) *socket {
	return &socket{Conn: c, blocks: pool, arrivals: arrivals, quiet: true}
}

// beside reports whether the socket is a link; it is not before the server's first words.
func (s *socket) beside() bool { return s.ours.Load() }

// Read implements net.Conn for nats.go.
func (s *socket) Read(p []byte) (int, error) {
	for {
		if s.theirs > 0 {
			s.handOver()
			return s.pass(p)
		}
		need, err := s.parse()
		if err != nil {
			s.handOver()
			return 0, err
		}
		if s.theirs > 0 {
			continue
		}
		s.handOver()
		if err := s.fill(need); err != nil {
			return 0, err
		}
	}
}

// pass gives bytes to nats.go.
func (s *socket) pass(p []byte) (n int, err error) {
	p = p[:min(len(p), s.theirs)]
	if s.from < s.to {
		n = copy(p, s.block.bytes[s.from:s.to])
		s.from += n
	} else {
		n, err = s.Conn.Read(p)
	}
	if s.theirs != all {
		s.theirs -= n
	}
	return n, err
}

// fill reads more. need is how many bytes the frame at from has, 0 if that is not known yet.
func (s *socket) fill(need int) error {
	switch {
	case s.from == s.to:
		s.renew()
	case need > len(s.block.bytes)-s.from && need > largeFrame:
		return s.fillLarge(need)
	case len(s.block.bytes) == quietBlock:
		s.move()
	case need > len(s.block.bytes)-s.from || len(s.block.bytes)-s.to < leastRead && need == 0:
		if s.to-s.from > len(s.block.bytes)-leastRead {
			return s.fillLine()
		}
		s.move()
	}
	most := min(quietBlock, len(s.block.bytes)-s.to)
	n, err := s.Conn.Read(s.block.bytes[s.to:])
	s.to += n
	s.quiet = n < most
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// renew finds room to read into when all that was read is parsed: in a small block while little comes. What
// somebody still looks at stays.
func (s *socket) renew() {
	size, least := blockSize, leastRead
	if s.quiet {
		size, least = quietBlock, quietBlock/2
	}
	if s.block != nil {
		if len(s.block.bytes) == size {
			if s.block.holders.Load() == 1 {
				s.from, s.to = 0, 0
			}
			if size-s.to >= least {
				return
			}
		}
		s.block.release()
	}
	s.block, s.from, s.to = s.blocks.get(size), 0, 0
}

// move takes what was read and not parsed to the next block.
func (s *socket) move() {
	next := s.blocks.get(blockSize)
	s.to = copy(next.bytes, s.block.bytes[s.from:s.to])
	s.from = 0
	s.block.release()
	s.block = next
}

// fillLarge reads the frame at from into a block of its own and takes it.
func (s *socket) fillLarge(need int) error {
	large := ofOne(need)
	n := copy(large.bytes, s.block.bytes[s.from:s.to])
	s.to = s.from // what comes behind it takes its place
	if _, err := io.ReadFull(s.Conn, large.bytes[n:]); err != nil {
		return err
	}
	shared, from, to := s.block, s.from, s.to
	s.block, s.from, s.to = large, 0, need
	_, err := s.parse()
	s.handOver()
	s.block, s.from, s.to = shared, from, to
	large.release()
	return err
}

// fillLine makes room for a line that fills a block and has not ended.
func (s *socket) fillLine() error {
	if s.to-s.from > maxLine {
		return fmt.Errorf("nats: a line of the server has more than %d bytes", maxLine)
	}
	next := ofOne(2 * (s.to - s.from))
	s.to = copy(next.bytes, s.block.bytes[s.from:s.to])
	s.from = 0
	s.block.release()
	s.block = next
	n, err := s.Conn.Read(s.block.bytes[s.to:])
	s.to += n
	return err
}

// parse takes what is ours from the front of what was read. It stops behind what is not, having set theirs,
// or where more has to be read: need is then the size of the frame at from, if that is known.
func (s *socket) parse() (need int, err error) {
	for s.theirs < s.to-s.from {
		b := s.block.bytes[s.from+s.theirs : s.to]
		end := bytes.IndexByte(b, '\n') + 1
		if !s.greeted && (end > 0 || !strings.HasPrefix(info, string(b[:min(len(b), len(info))]))) {
			s.greet(b[:end])
			continue
		}
		if end == 0 {
			return 0, nil
		}
		line, ours, err := parseLine(b[:end])
		total := end
		if line.message {
			total += line.size + 2
		}
		switch {
		case err != nil:
			return 0, err
		case !ours:
			s.theirs += total
			continue
		case s.theirs > 0: // first what stands before
			return 0, nil
		case total > len(b):
			return total, nil
		}
		if err := s.keep(&line, b[end:total]); err != nil {
			return 0, err
		}
		s.from += total
	}
	return 0, nil
}

// info begins the first line of a server that speaks the protocol.
const info = "INFO "

// greet looks at the server's first line, empty if it begins like no INFO, and decides what the socket is.
func (s *socket) greet(line []byte) {
	s.greeted = true
	var says struct {
		TLS bool `json:"tls_required"`
	}
	text, isInfo := bytes.CutPrefix(line, []byte(info))
	if !isInfo || json.Unmarshal(text, &says) != nil || says.TLS && !s.secured {
		s.theirs = all
		return
	}
	s.theirs = len(line)
	s.ours.Store(true)
}

// keep puts a frame of ours, whose payload with its line end is b, to those to be handed over.
func (s *socket) keep(line *headline, b []byte) error {
	if b[line.size] != '\r' || b[line.size+1] != '\n' {
		return fmt.Errorf("nats: a message for %.100q does not end where it says", line.subject)
	}
	to := s.routeOf(line.sid)
	if to.sub == nil {
		return nil // nobody is interested any more
	}
	if s.arrival != nil && s.taker != to.sub {
		s.handOver()
	}
	if s.arrival == nil {
		s.arrival, s.taker = s.arrivals.get(s.block), to.sub
	}
	s.arrival.frames = append(s.arrival.frames, frame{
		subject: textOf(line.subject), reply: textOf(line.reply), body: b[:line.size:line.size],
		headed: int32(line.head), of: int32(to.subject),
	})
	if len(s.arrival.frames) == maxArrival {
		s.handOver()
	}
	return nil
}

// recentRoute is where frames of one sid went. A server that answers two pulls sends by turns for both.
type recentRoute struct {
	sid   []byte
	to    route
	known bool
}

// routeOf returns where frames of a sid go. Those of one arrival go where the first of their sid did, even if
// its subscription has ended meanwhile.
func (s *socket) routeOf(sid []byte) route {
	for i := range s.recent {
		if r := &s.recent[i]; r.known && bytes.Equal(sid, r.sid) {
			return r.to
		}
	}
	r := &s.recent[s.older]
	r.sid = append(r.sid[:0], sid...)
	if r.to, r.known = s.routes.get(sid); r.known {
		s.older = 1 - s.older
	}
	return r.to
}

// handOver gives what was parsed to the subscription. Everything of an arrival is of one block.
func (s *socket) handOver() {
	if s.arrival != nil {
		a, sub := s.arrival, s.taker
		s.arrival, s.taker = nil, nil
		sub.take(a)
	}
	s.recent[0].known, s.recent[1].known = false, false
}
