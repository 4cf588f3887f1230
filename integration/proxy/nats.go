package proxy

import (
	"bytes"
	"net"
	"strconv"
	"time"
)

// detour says which frames of NATS clients come later than the rest.
type detour struct {
	prefix string
	by     time.Duration
}

// DelayPublishes lets what a NATS client publishes to subjects that begin with prefix come to the server by
// d late, and nothing else: what follows overtakes it. It counts for connections made from then on.
func (p *Proxy) DelayPublishes(prefix string, d time.Duration) { p.late.Store(&detour{prefix, d}) }

// send returns how bytes of a client are written to the server.
func (p *Proxy) send(server net.Conn) func([]byte) error {
	d := p.late.Load()
	if d == nil {
		return func(b []byte) error { _, err := server.Write(b); return err }
	}
	frames := natsFrames{prefix: []byte(d.prefix)}
	return func(b []byte) error {
		now, late := frames.split(b)
		if len(late) > 0 {
			time.AfterFunc(d.by, func() { _, _ = server.Write(late) })
		}
		_, err := server.Write(now)
		return err
	}
}

// natsFrames finds published messages in a client's bytes that come in pieces.
type natsFrames struct {
	prefix []byte
	line   []byte // the protocol line as far as it has come
	rest   int    // bytes of the payload to come, with its line end
	late   bool   // it is one of those looked for
}

// split returns the bytes of complete lines and payloads, those of publishes with the prefix apart.
func (f *natsFrames) split(b []byte) (now, late []byte) {
	for len(b) > 0 {
		var piece []byte
		if f.rest > 0 {
			n := min(f.rest, len(b))
			piece, b = b[:n], b[n:]
			f.rest -= n
		} else {
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				f.line = append(f.line, b...)
				return now, late
			}
			piece, b = append(f.line, b[:end+1]...), b[end+1:]
			f.line = nil
			f.begin(piece)
		}
		if f.late {
			late = append(late, piece...)
		} else {
			now = append(now, piece...)
		}
	}
	return now, late
}

// begin takes in a protocol line: PUB subject [reply] size, HPUB subject [reply] header-size size.
func (f *natsFrames) begin(line []byte) {
	f.late, f.rest = false, 0
	words := bytes.Fields(line)
	if len(words) < 3 || !bytes.EqualFold(words[0], []byte("PUB")) && !bytes.EqualFold(words[0], []byte("HPUB")) {
		return
	}
	if size, err := strconv.Atoi(string(words[len(words)-1])); err == nil {
		f.rest = size + len("\r\n")
	}
	f.late = bytes.HasPrefix(words[1], f.prefix)
}
