package nats

import (
	"bytes"
	"fmt"
	"sync"
	"unsafe"
)

// headline is the first line of a message: [H]MSG <subject> <sid> [reply] [header size] <size>.
type headline struct {
	message             bool // else it is another operation
	subject, sid, reply []byte
	head, size          int // bytes of headers, and of all
}

// parseLine reads a line of the server. ours says that the message is of a subscription of ours.
func parseLine(text []byte) (l headline, ours bool, err error) {
	least := 3
	switch {
	case bytes.HasPrefix(text, []byte("MSG ")):
		text = text[len("MSG "):]
	case bytes.HasPrefix(text, []byte("HMSG ")):
		text, least = text[len("HMSG "):], 4
	default:
		return headline{}, false, nil
	}
	var fields [5][]byte
	n := 0
	rest := bytes.TrimSuffix(text, []byte{'\n'})
	for rest = bytes.TrimSuffix(rest, []byte{'\r'}); len(rest) > 0; {
		end := bytes.IndexByte(rest, ' ')
		if end < 0 {
			end = len(rest)
		}
		if end > 0 {
			if n == len(fields) {
				return l, false, fmt.Errorf("nats: a message has too much in its first line: %.200q", text)
			}
			fields[n] = rest[:end]
			n++
		}
		rest = rest[min(end+1, len(rest)):]
	}
	if n != least && n != least+1 {
		return l, false, fmt.Errorf("nats: a message has %d words in its first line: %.200q", n, text)
	}
	l = headline{message: true, subject: fields[0], sid: fields[1]}
	if n > least {
		l.reply = fields[2]
	}
	var ok bool
	if l.size, ok = sizeOf(fields[n-1]); ok && least == 4 {
		l.head, ok = sizeOf(fields[n-2])
		ok = ok && l.head <= l.size
	}
	if !ok {
		return l, false, fmt.Errorf("nats: a message has no size in its first line: %.200q", text)
	}
	return l, l.sid[0] == sidMark, nil
}

// sizeOf reads a number of bytes, at most maxFrame.
func sizeOf(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > len("80000000") {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n <= maxFrame
}

// textOf lends bytes as a string; they may not change as long as it is used.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// route is where frames of one sid go.
type route struct {
	sub     *subscription
	subject int
}

// routes are the subscriptions by sid.
type routes struct {
	mu    sync.Mutex
	bySID map[string]route
}

func (r *routes) set(sid string, to route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bySID == nil {
		r.bySID = map[string]route{}
	}
	r.bySID[sid] = to
}

func (r *routes) get(sid []byte) (route, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to, ok := r.bySID[string(sid)]
	return to, ok
}

func (r *routes) remove(sid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bySID, sid)
}
