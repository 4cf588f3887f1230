package nats

import (
	"context"
	"testing"
)

// idle is a link that forgets what it is given.
type idle struct{ link }

func (idle) send([]byte) error { return nil }

// What is sent between Writes leaves nothing that the next Write would have to make larger, piece by piece.
func TestSenderKeepsNoSmallBuffers(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	d, ended := newSender(), make(chan struct{})
	go func() { defer close(ended); d.run(ctx) }()
	sess := &session{link: idle{}}
	for range 100 {
		d.try(sess, []byte("probe"), nil, nil, nil)
		frames, err := d.buffer(ctx, nil, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if cap(frames) < frameBuffer {
			t.Fatalf("the buffer of a large Write has %d bytes", cap(frames))
		}
		d.send(sess, frames)
	}
	for range cap(d.free) {
		<-d.free // so that all is sent
	}
	stop()
	<-ended
	for b, ok := d.buffers.Get().([]byte); ok; b, ok = d.buffers.Get().([]byte) {
		if cap(b) < frameBuffer {
			t.Fatalf("a buffer of %d bytes is kept for Writes", cap(b))
		}
	}
}
