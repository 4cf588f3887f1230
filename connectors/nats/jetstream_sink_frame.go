package nats

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// frameBuffer is how much is encoded before it is handed to the socket; two such buffers are in use at
	// most.
	frameBuffer = 256 << 10
	// keptBuffer is the largest buffer that is kept after a large message.
	keptBuffer = 1 << 20
)

// framer encodes messages as frames of the NATS protocol. It has one user at a time.
type framer struct {
	headers headerEncoder
	subject []byte
	source  []byte // where the message was read from for which subject was made
	made    bool   // subject is good for all that were read from source
	block   []byte
	reply   []byte
	checked []byte // the last subject that was found to be the stream's
}

// encode makes subject and block of a message. A Permanent error refuses it.
func (f *framer) encode(subjects *subjects, maxPayload int64, b *connectors.Batch, m *connectors.Message) error {
	var err error
	if !f.made || string(f.source) != m.Subject {
		f.made = false
		if f.subject, err = subjects.append(f.subject[:0], b, m); err != nil {
			return err
		}
		f.source, f.made = append(f.source[:0], m.Subject...), subjects.source
	}
	if f.block, err = f.headers.append(f.block[:0], b, m); err != nil {
		return err
	}
	if size := int64(len(f.block) + len(m.Value)); size > maxPayload {
		return connectors.Permanent(fmt.Errorf("message of %d bytes with headers: the server's max_payload is %d", size, maxPayload))
	}
	return nil
}

// encode makes a message for the stream. An error that is not Permanent says that the stream does not
// take it at present.
func (s *jetStreamSink) encode(f *framer, sess *session, b *connectors.Batch, m *connectors.Message) error {
	f.headers.add, f.headers.limit, f.headers.hops = s.env.Headers, math.MaxUint16, s.env.MaxHops
	if err := f.encode(s.subjects, sess.maxPayload, b, m); err != nil {
		return err
	}
	if !bytes.Equal(f.subject, f.checked) {
		if !captures(sess.stream.Config.Subjects, string(f.subject)) {
			return fmt.Errorf("stream %s does not store subject %q: its subjects are %q; add it there, or change map.subject",
				s.cfg.Stream, f.subject, sess.stream.Config.Subjects)
		}
		f.checked = append(f.checked[:0], f.subject...)
	}
	if size, limit := int64(len(f.block)+len(m.Value)), sess.stream.Config.MaxMsgSize; limit > 0 && size > limit {
		return connectors.Permanent(fmt.Errorf("message of %d bytes with headers: max_msg_size of stream %s is %d", size, s.cfg.Stream, limit))
	}
	return nil
}

// appendFrame appends HPUB or PUB <subject> <reply> <sizes> with block and value.
func appendFrame(dst, subject, reply, block, value []byte) []byte {
	if len(block) > 0 {
		dst = append(dst, 'H')
	}
	dst = append(dst, "PUB "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	if len(reply) > 0 {
		dst = append(dst, reply...)
		dst = append(dst, ' ')
	}
	if len(block) > 0 {
		dst = strconv.AppendInt(dst, int64(len(block)), 10)
		dst = append(dst, ' ')
	}
	dst = strconv.AppendInt(dst, int64(len(block)+len(value)), 10)
	dst = append(dst, '\r', '\n')
	dst = append(dst, block...)
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// cutFrame takes the first frame from those that appendFrame made.
func cutFrame(frames []byte) (f frame, rest []byte, err error) {
	text, rest, ok := bytes.Cut(frames, []byte("\r\n"))
	kind, text, _ := bytes.Cut(text, []byte{' '})
	words := bytes.Split(text, []byte{' '})
	sizes := 1
	if string(kind) == "HPUB" {
		sizes = 2
	}
	if !ok || len(words) < 1+sizes || len(words) > 2+sizes {
		return f, nil, fmt.Errorf("nats: %.100q is no frame of ours", frames)
	}
	f.subject = string(words[0])
	if len(words) == 2+sizes {
		f.reply = string(words[1])
	}
	head := 0
	size, ok := sizeOf(words[len(words)-1])
	if sizes == 2 && ok {
		head, ok = sizeOf(words[len(words)-2])
	}
	if !ok || head > size || len(rest) < size+2 {
		return f, nil, fmt.Errorf("nats: %.100q is no frame of ours", frames)
	}
	f.body, f.headed = rest[:size:size], int32(head)
	return f, rest[size+2:], nil
}

// chunk is frames on their way to the server.
type chunk struct {
	link    link
	frames  []byte
	single  bool         // frames is no buffer of the sender's: it would be one of those that are too small
	written chan<- error // gets the result, if it is not nil; must not block
}

// sender sends frames, one goroutine a sink: a Write that is given up need not wait for a server that
// takes nothing. Its places bound what is encoded and not sent. Buffers are used again, and are given up to
// the collector while there is nothing to send.
type sender struct {
	free    chan struct{} // places
	out     chan chunk
	buffers sync.Pool // of []byte
}

func newSender() *sender {
	d := &sender{free: make(chan struct{}, 2), out: make(chan chunk, 2)}
	for range cap(d.free) {
		d.free <- struct{}{}
	}
	return d
}

// run sends until ctx ends. A socket that fails is closed by its Write; nats.go finds that out. What the
// plain link cannot send is lost with its connection.
func (d *sender) run(ctx context.Context) {
	for {
		select {
		case c := <-d.out:
			err := c.link.send(c.frames)
			if c.written != nil {
				c.written <- err
			}
			if !c.single && cap(c.frames) <= keptBuffer {
				d.buffers.Put(c.frames[:0]) //nolint:staticcheck // it allocates the slice's header, once a chunk
			}
			d.free <- struct{}{}
		case <-ctx.Done():
			return
		}
	}
}

// buffer waits for a place and returns an empty buffer for what weighs weight: few messages need no large one, and
// one that is too small would grow, piece by piece, to what is wanted.
func (d *sender) buffer(ctx context.Context, life <-chan struct{}, weight int64) ([]byte, error) {
	select {
	case <-d.free:
		want := int(min(weight, frameBuffer+frameBuffer/4))
		if b, ok := d.buffers.Get().([]byte); ok && cap(b) >= want {
			return b, nil
		}
		return make([]byte, 0, want), nil
	case <-life:
		return nil, errLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// try sends one frame if that is possible without waiting.
func (d *sender) try(sess *session, subject, reply, block, value []byte) {
	select {
	case <-d.free:
		d.out <- chunk{link: sess.link, frames: appendFrame(nil, subject, reply, block, value), single: true}
	default:
	}
}

// send takes a buffer back with frames in it. It does not block: whoever sends has a place.
func (d *sender) send(sess *session, frames []byte) { d.out <- chunk{link: sess.link, frames: frames} }
