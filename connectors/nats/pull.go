package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	pullExpires   = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	// silentAfter is how long nothing may come, not even a heartbeat, while a pull is out.
	silentAfter = 2*pullHeartbeat + 2*time.Second
	// maxBatch is how many messages one batch has at most, so that room comes back in portions.
	maxBatch = 1024
	// messageOverhead is what a message that was asked for may cost beside its data: its frame, and more than
	// that in a batch.
	messageOverhead = 256
	// plainOverhead is what a message costs that nats.go has read: its Msg, the strings of that and their
	// rounding up. plainHeader is the same for one header: an entry of the map, two strings and a slice.
	plainOverhead = 384
	plainHeader   = 160
	// redeliveryBytes bounds what is read again at once after a reset, if no message is larger.
	redeliveryBytes    = 1 << 20
	redeliveryMessages = 256
)

// pullSession is one uninterrupted read of the durable: what was asked for, what came, and whether it
// came without a hole. Only the goroutine that calls Fetch reads from it once it is live.
type pullSession struct {
	nc       *nats.Conn
	conn     *conn
	next     string     // where pulls are sent
	came     *arrivals  // what was asked for and has come
	queue    []*arrival // taken from came; those before at are done with
	at       int
	stop     func() // ends the subscription; nil before open
	slots    [2]slot
	ordered  bool // deliveries must be contiguous: nobody else reads
	explicit bool // every message is acknowledged by itself
	window   int
	maxBatch int           // what the durable allows a pull to ask for; 0: no limit
	maxBytes int64         // the same in bytes
	expires  time.Duration // of a pull

	last   sequences     // the last message taken from what came
	carry  []entry       // checked, but not yet returned
	narrow bool          // a pull was refused because of the size of the next message
	taken  atomic.Uint64 // last.Consumer, for other goroutines

	ack          ackForm   // set by the first message
	floor, doubt sequences // the last acknowledgement, and one whose answer was lost; see floorHolds
	firstAfter   func(stream uint64) uint64

	once sync.Once
	over chan struct{} // closed when the session has ended
	err  error         // why; set before over is closed
}

// slot is a subscription of its own for each pull that may be out, so that it is always known which
// pull a message or status belongs to: the server serves several pulls in turns.
type slot struct {
	inbox    string // the subscription is to all below it
	asks     uint64 // how many pulls were sent
	reply    string // the inbox of the latest of them: the end of an earlier one may still come
	messages int    // still to come
	bytes    int64  // still to come, as the server counts; unless unlimited
	asked    int64  // bytes of the pull
	got      bool   // a message has come
	free     bool   // no limit of bytes
}

// entry is a message that has been checked. Its block is held until more is asked for, unless the entry does.
type entry struct {
	frame
	delivery
	block *block // nil: the frame is the collector's
	holds bool   // the block
}

// end ends the session. The first reason counts.
func (p *pullSession) end(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.over)
	})
}

// open subscribes the session's slots. The plain link has place for everything that may be asked for, and for
// the heartbeats and the end of each pull.
func (p *pullSession) open() error {
	link, _, err := p.conn.link(p.nc)
	if err != nil {
		return err
	}
	var subjects []string
	for i := range p.slots {
		p.slots[i].inbox = p.nc.NewInbox()
		subjects = append(subjects, p.slots[i].inbox+".*")
	}
	p.stop, err = link.subscribe(p.window+redeliveryMessages+64, p.came.put, subjects...)
	return err
}

// close takes the inboxes away, so that the server gives up the pulls that are out.
func (p *pullSession) close() {
	p.end(context.Canceled)
	if p.stop != nil {
		p.stop()
	}
}

// newPullSession returns a session that is not open.
func newPullSession(nc *nats.Conn, c *conn, d *durable, cfg *consumerConfig, window int) *pullSession {
	p := &pullSession{
		nc: nc, conn: c, next: apiPrefix + "CONSUMER.MSG.NEXT." + d.stream + "." + d.name,
		came: newArrivals(), window: window, maxBatch: cfg.MaxBatch, maxBytes: int64(cfg.MaxBytes), expires: pullExpires,
		explicit: cfg.AckPolicy != "all",
		over:     make(chan struct{}),
	}
	if cfg.MaxExpires > 0 {
		p.expires = min(p.expires, cfg.MaxExpires)
	}
	return p
}

// pullRequest is the body of CONSUMER.MSG.NEXT (ADR-13).
type pullRequest struct {
	Expires   time.Duration `json:"expires,omitempty"`
	Batch     int           `json:"batch"`
	MaxBytes  int64         `json:"max_bytes,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

// ask sends a pull. bytes <= 0: no limit.
func (p *pullSession) ask(s *slot, r pullRequest) error {
	if p.maxBatch > 0 {
		r.Batch = min(r.Batch, p.maxBatch)
	}
	if p.maxBytes > 0 && (r.MaxBytes == 0 || r.MaxBytes > p.maxBytes) {
		r.MaxBytes = p.maxBytes
	}
	s.messages, s.bytes, s.asked = r.Batch, r.MaxBytes, r.MaxBytes
	s.free, s.got = r.MaxBytes == 0, false
	s.asks++
	s.reply = s.inbox + "." + strconv.FormatUint(s.asks, 10)
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := p.nc.PublishRequest(p.next, s.reply, body); err != nil {
		s.messages = 0
		return fmt.Errorf("nats: pull: %w", explain(err))
	}
	return nil
}

// held returns what was asked for or has come and was not returned.
func (p *pullSession) held() (messages int, bytes int64) {
	for i := range p.slots {
		messages += p.slots[i].messages
		if p.slots[i].messages > 0 {
			bytes += grown(p.slots[i].bytes) + int64(p.slots[i].messages)*messageOverhead
		}
	}
	for i := range p.carry {
		bytes += p.carry[i].memory()
	}
	return messages + len(p.carry), bytes
}

// errNoRoom is what pull answers where the room is too small for anything.
var errNoRoom = errors.New("no room")

// pull asks for what room has beyond what is held, in strides: asking for single messages costs two to
// three times the throughput.
func (p *pullSession) pull(room connectors.Room) error {
	messages, bytes := p.held()
	s := &p.slots[0]
	if s.messages > 0 {
		s = &p.slots[1]
	}
	n, left := min(room.Messages, p.window)-messages, room.Bytes-bytes
	if s.messages > 0 || n < 1 || messages > 0 && n < max(1, p.window/8) {
		return nil
	}
	r := pullRequest{Expires: p.expires, Batch: n, Heartbeat: min(pullHeartbeat, p.expires/2)}
	switch {
	case p.narrow && messages == 0 && room.Alone:
		r.Batch = 1 // whatever its size
	case p.narrow && messages == 0 && left > messageOverhead:
		r.Batch, r.MaxBytes = 1, shrunk(left-messageOverhead)
	case p.narrow:
		return nil
	default:
		r.Batch = int(min(int64(n), max(1, left/(2*messageOverhead))))
		r.MaxBytes = shrunk(left - int64(r.Batch)*messageOverhead)
	}
	if r.MaxBytes < 1 && !(p.narrow && room.Alone) {
		if messages > 0 {
			return nil
		}
		if !room.Alone {
			return errNoRoom
		}
		r.Batch, r.MaxBytes = 1, 0
	}
	return p.ask(s, r)
}

// arrived returns the next frame that has come, the slot it is of and its block; nil if there is none. Its
// block is held until the next call.
func (p *pullSession) arrived() (*frame, *slot, *block) {
	for {
		if p.at == len(p.queue) {
			if p.refill(); len(p.queue) == 0 {
				return nil, nil, nil
			}
		}
		a := p.queue[p.at]
		if a.next < len(a.frames) {
			a.next++
			f := &a.frames[a.next-1]
			return f, &p.slots[f.of], a.block
		}
		p.queue[p.at] = nil
		p.at++
		a.release()
	}
}

// refill puts what has come to the end of the queue.
func (p *pullSession) refill() {
	n := copy(p.queue, p.queue[p.at:])
	clear(p.queue[n:])
	p.queue, p.at = p.came.take(p.queue[:n]), 0
}

// take checks what came: a message for the caller, or a status, which is dealt with here.
func (p *pullSession) take(f *frame, s *slot, b *block) (e entry, isMessage bool, err error) {
	d, ok := p.ack.read(f.reply)
	if !ok {
		return entry{}, false, p.status(s, f)
	}
	s.messages--
	s.got = true
	if s.bytes -= int64(f.size()); s.bytes <= 0 && !s.free {
		s.messages, s.bytes = 0, 0 // a pull whose bytes are used up has ended
	}
	if p.ordered && (d.Consumer != p.last.Consumer+1 || d.Stream <= p.last.Stream) {
		return entry{}, false, &holeError{p.last, d.sequences}
	}
	if p.last.Consumer == 0 {
		p.ack = ackFormOf(f.reply)
	}
	p.last = d.sequences
	return entry{frame: *f, delivery: d, block: b}, true, nil
}

// putBack keeps an entry for the next Fetch, before all others.
func (p *pullSession) putBack(e entry) {
	e.keep()
	p.carry = append([]entry{e}, p.carry...)
}

// pop returns the first entry that was put back.
func (p *pullSession) pop() entry {
	e := p.carry[0]
	p.carry[0] = entry{}
	p.carry = p.carry[1:]
	return e
}

// keep makes the entry hold its block.
func (e *entry) keep() {
	if e.block != nil && !e.holds {
		e.block.hold()
		e.holds = true
	}
}

// drop lets go of the block of an entry that was copied.
func (e *entry) drop() {
	if e.holds {
		e.block.release()
		e.holds = false
	}
}

// errTooLarge is the status of a pull whose next message exceeds its bytes.
var errTooLarge = errors.New("the next message is larger than the pull")

// status deals with what a pull brings beside messages (ADR-13). nil: go on. A pull whose last message
// has come is over, and yet its end comes too ("Batch Completed"), when the next may be out already.
func (p *pullSession) status(s *slot, f *frame) error {
	if f.subject != s.reply && strings.HasPrefix(f.subject, s.inbox+".") {
		return nil
	}
	code, text := status(f.head())
	switch {
	case code == "100": // a heartbeat
		return nil
	case code == "404" || code == "408": // nothing there, or expired
		s.messages, s.bytes = 0, 0
		return nil
	case code == "409" && strings.Contains(text, "Message Size Exceeds MaxBytes"):
		empty := !s.got
		s.messages, s.bytes = 0, 0
		if empty {
			return errTooLarge
		}
		return nil
	case code == "409" && strings.Contains(text, "Batch Completed"):
		// It follows the pull's last message, with which the slot became free: the next pull may be
		// out in it already, and is not the one that has ended.
		return nil
	case code == "503":
		return errors.New("nobody answers pulls: the durable or its stream is gone or has no leader")
	case code == "":
		return fmt.Errorf("a stranger writes to the inbox of a pull (subject %.100q)", f.subject)
	}
	return fmt.Errorf("the pull ended with %s %s", code, text)
}

// holeError says that deliveries were not contiguous.
type holeError struct{ last, got sequences }

func (e *holeError) Error() string {
	return fmt.Sprintf("delivery %d (stream %d) follows %d (stream %d)", e.got.Consumer, e.got.Stream, e.last.Consumer, e.last.Stream)
}

// grown is the heap that n bytes take: what is allocated is rounded up, and a block has slack.
func grown(n int64) int64 { return n + n/8 }

// shrunk is how many bytes fit in n bytes of heap.
func shrunk(n int64) int64 { return n - n/9 - 1 }
