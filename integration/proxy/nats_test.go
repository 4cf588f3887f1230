package proxy

import (
	"slices"
	"strings"
	"testing"
)

// Whatever pieces a client's bytes come in, exactly the publishes with the prefix are put aside.
func TestNATSFrames(t *testing.T) {
	const (
		ack   = "PUB $JS.ACK.S.d.1 _INBOX.x 4\r\n+ACK\r\n"
		other = "PING\r\nHPUB orders reply 12 15\r\nNATS/1.0\r\n\r\nPUB\r\nPUB a 0\r\n\r\n"
	)
	const said = other + ack + ack + other + ack
	for _, size := range []int{1, 7, len(said)} {
		f := natsFrames{prefix: []byte("$JS.ACK.")}
		var now, late strings.Builder
		for piece := range slices.Chunk([]byte(said), size) {
			a, b := f.split(piece)
			now.Write(a)
			late.Write(b)
		}
		if now.String() != other+other || late.String() != ack+ack+ack {
			t.Errorf("pieces of %d bytes: now %q, late %q", size, now.String(), late.String())
		}
	}
}
