package nats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/sluice-bridge/sluice/connectors"
)

// pieces is a connection that gives what the server says in pieces of given sizes, again and again.
type pieces struct {
	net.Conn
	text  []byte
	sizes []int
	turn  int
}

func (c *pieces) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := min(max(1, c.sizes[c.turn%len(c.sizes)]), len(p), len(c.text))
	c.turn++
	copy(p, c.text[:n])
	c.text = c.text[n:]
	return n, nil
}

func (c *pieces) Write(p []byte) (int, error) { return len(p), nil }
func (c *pieces) Close() error                { return nil }

const greeting = "INFO {\"server_id\":\"x\",\"max_payload\":1048576}\r\n"

// readSocket returns what nats.go gets of what a server says, and what the subscription of T1 and T2 gets: every
// third arrival is let go of at once, the others when everything was read.
func readSocket(text string, sizes ...int) (passed string, got []sent, err error) {
	s := newSocket(&pieces{text: []byte(text), sizes: sizes}, &blocks{}, &arrivalPool{})
	var held []func() []sent
	_, _ = s.subscribe(0, func(a *arrival) {
		look := func() (seen []sent) {
			for i := range a.frames {
				f := &a.frames[i]
				seen = append(seen, sent{
					Subject: fmt.Sprint(f.of, " ", strings.Clone(f.subject)), Reply: strings.Clone(f.reply), Data: string(f.body),
				})
			}
			a.release()
			return seen
		}
		if len(held)%3 == 0 {
			seen := look()
			look = func() []sent { return seen }
		}
		held = append(held, look)
	}, "a", "b")
	var all bytes.Buffer
	buf := make([]byte, 1<<10)
	for err == nil {
		var n int
		n, err = s.Read(buf)
		all.Write(buf[:n])
	}
	for _, look := range held { // only now: what is held does not change
		got = append(got, look()...)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all.String(), got, err
}

// A connection at rest holds a small block, whatever came before, and also where what came last is always still
// looked at when more is read. What waits to be looked at is not much larger than what came.
func TestSocketRestsSmall(t *testing.T) {
	large := fmt.Sprintf("MSG s.x T1 %d\r\n%s\r\n", 3*largeFrame/4, strings.Repeat("x", 3*largeFrame/4))
	small := fmt.Sprintf("MSG s.x T1 300\r\n%s\r\n", strings.Repeat("y", 300))
	for _, waiting := range []int{0, 1, 200} { // arrivals that are not let go of
		c := &pieces{sizes: []int{1 << 20}}
		s := newSocket(c, &blocks{}, &arrivalPool{})
		read := 0
		var held []*arrival
		_, _ = s.subscribe(0, func(a *arrival) {
			read += len(a.frames)
			if held = append(held, a); len(held) > waiting {
				held[0].release()
				held = held[1:]
			}
		}, "a")
		say := func(text string) {
			c.text = []byte(text)
			var err error
			for buf := make([]byte, 1<<10); err == nil; {
				_, err = s.Read(buf)
			}
		}
		say(greeting)
		say(strings.Repeat(large, 50))
		for range 1000 {
			say(small)
		}
		blocks := map[*block]bool{}
		for _, a := range held {
			blocks[a.block] = true
		}
		memory := 0
		for b := range blocks {
			memory += len(b.bytes)
		}
		if read != 1050 || len(s.block.bytes) != quietBlock || memory > 2*waiting*len(small)+2*quietBlock {
			t.Errorf("%d of 1050 messages; a block of %d bytes is read into, want %d; %d messages of %d bytes wait in %d",
				read, len(s.block.bytes), quietBlock, waiting, len(small), memory)
		}
	}
}

// Frames of ours are taken out of the stream wherever it is cut into pieces, and everything else passes.
func TestSocketTakesItsFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, passed := greeting, greeting
		var want []sent
		for range rapid.IntRange(0, 30).Draw(t, "operations") {
			size := rapid.OneOf(rapid.IntRange(0, 50), rapid.IntRange(30_000, 40_000), rapid.IntRange(blockSize-100, blockSize+100)).Draw(t, "size")
			data := strings.Repeat("a\r\nMSG b T1 1\r\n", size/15+1)[:size]
			sid := rapid.SampledFrom([]string{"T1", "T2", "T9", "1", "17"}).Draw(t, "sid")
			reply, space := "", ""
			if rapid.Bool().Draw(t, "reply") {
				reply, space = "r.x", " "
			}
			frame := fmt.Sprintf("MSG s.x %s %s%s%d\r\n%s\r\n", sid, reply, space, size, data)
			if rapid.Bool().Draw(t, "headers") {
				head := "NATS/1.0\r\na: b\r\n\r\n"
				frame = fmt.Sprintf("HMSG s.x %s %s%s%d %d\r\n%s%s\r\n", sid, reply, space, len(head), len(head)+size, head, data)
				data = head + data
			}
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				frame = rapid.SampledFrom([]string{"PING\r\n", "PONG\r\n", "+OK\r\n", "-ERR 'x y'\r\n", "INFO {\"tls_required\":true}\r\n"}).Draw(t, "operation")
				passed += frame
			default:
				switch {
				case sid == "T1", sid == "T2":
					want = append(want, sent{Subject: fmt.Sprint(int(sid[1]-'1'), " s.x"), Reply: reply, Data: data})
				case sid[0] != sidMark:
					passed += frame
				}
			}
			text += frame
		}
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(1, 70_000)), 1, 8).Draw(t, "pieces")
		gotPassed, got, err := readSocket(text, sizes...)
		if err != nil {
			t.Fatal(err)
		}
		if gotPassed != passed {
			t.Fatalf("nats.go got %d bytes, want %d:\n%.300q\n%.300q", len(gotPassed), len(passed), gotPassed, passed)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%.2000s", diff)
		}
	})
}

// A socket whose server does not greet as one without TLS does is no link, and everything passes.
func TestSocketStandsAside(t *testing.T) {
	for _, first := range []string{
		"HTTP/1.1 101 Switching Protocols\r\n", "INFO {\"tls_required\":true}\r\n", "INFO nonsense\r\n", "\x16\x03\x01\x02\x00\x01\r\n", "info {}\r\n",
	} {
		passed, got, err := readSocket(first[:8], 1) // nats.go need not wait for the end of a line
		if want := first[:8]; strings.HasPrefix(want, "INFO ") == (passed == want) || got != nil || err != nil {
			t.Errorf("%q: %q passed, %v", first[:8], passed, err)
		}
		text := first + "MSG a T1 1\r\nx\r\n" + strings.Repeat("z", 100_000)
		passed, got, err = readSocket(text, 7, 1000)
		if passed != text || got != nil || err != nil {
			t.Errorf("%q: %d of %d bytes passed, %d messages were taken, %v", first, len(passed), len(text), len(got), err)
		}
	}
}

func TestSocketRefusesNonsense(t *testing.T) {
	for _, text := range []string{
		"MSG a\r\n", "MSG a T1\r\n", "MSG a T1 x\r\n", "MSG a T1 r 1 2\r\n", "MSG a T1 -1\r\n", "MSG a T1 99999999\r\n", "MSG a T1 999999999\r\n",
		"HMSG a T1 5\r\n", "HMSG a T1 5 4\r\nabcd\r\n", "HMSG a T1 r 1 2 3\r\n", "MSG a T1 1\r\nxyz", "MSG a T1 1 \rx\n..", "MSG a T1 2\r\nabc\n",
		strings.Repeat("P", 2*maxLine),
	} {
		if _, got, err := readSocket(greeting+text, 1000); err == nil || len(got) > 0 {
			t.Errorf("%.50q: %v, %v", text, got, err)
		}
	}
}

// FuzzSocket: whatever a server says, nothing is made up: what passes and what is taken is of the text, in
// order.
func FuzzSocket(f *testing.F) {
	f.Add("MSG a T1 1\r\nx\r\nPING\r\n", 3)
	f.Add("HMSG a T2 r 12 13\r\nNATS/1.0\r\n\r\nx\r\n", 1)
	f.Add("MSG a 1 1\r\nx\r\nMSG  a\tT1 1\r\n", 5)
	f.Fuzz(func(t *testing.T, text string, size int) {
		passed, got, _ := readSocket(greeting+text, size, 1, 4096)
		rest := greeting + text
		for _, m := range got {
			at := strings.Index(rest, m.Data)
			if at < 0 {
				t.Fatalf("%q was not said", m.Data)
			}
			rest = rest[at+len(m.Data):]
		}
		if len(passed) > len(greeting+text) || !isSubsequence(passed, greeting+text) {
			t.Fatalf("passed %q of %q", passed, text)
		}
	})
}

// isSubsequence reports whether all bytes of a stand in b in their order.
func isSubsequence(a, b string) bool {
	for len(a) > 0 {
		at := strings.IndexByte(b, a[0])
		if at < 0 {
			return false
		}
		a, b = a[1:], b[at+1:]
	}
	return true
}

// FuzzBlock: a block is read as nats.go reads it, and a message restored from either is the same.
func FuzzBlock(f *testing.F) {
	for _, text := range []string{
		"NATS/1.0\r\na: b\r\nc:d\r\na: e\r\n\r\n", "NATS/1.0 503\r\n\r\n", "NATS/1.0 409 Batch Completed\r\n\r\n", "NATS/1.0\r\n: x\r\nb:\t \r\n\r\n",
		"NATS/1.0\r\nSluice-Key: k\r\nSluice-Time: 2026-01-02T03:04:05.6Z\r\nSluice-Null: 1\r\nSluice-Origin: kafka:c/t/0/1;hops=1\r\nz: 1\r\n\r\n",
		"NATS/1.0\r\nSluice-Headers: AWEA\r\na: b\r\n\r\n", "NATS/1.0 4\r\n\r\n", "NATS/1.0\r\nx\r\n\r\n", "NATS/1.0\n\n", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		want, err := nats.DecodeHeadersMsg(block)
		list, ok := parseBlock(nil, block)
		if ok != (err == nil) {
			t.Fatalf("%q: read %v, nats.go: %v", block, ok, err)
		}
		if !ok {
			return
		}
		got := nats.Header{}
		for _, h := range list {
			got[h.Key] = append(got[h.Key], string(h.Value))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-nats.go +ours):\n%s", block, diff)
		}
		var a, b connectors.Message
		a.Value, b.Value = []byte{}, []byte{}
		restore(&a, want)
		restoreList(&b, list)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatalf("%q (-from the map +from the block):\n%s", block, diff)
		}
		again, err := nats.DecodeHeadersMsg(appendBlock(nil, want))
		if err == nil && !cmp.Equal(again, want) {
			t.Fatalf("%q: written again it is %v", block, again)
		}
	})
}

// FuzzFrame: frames are taken apart as they were put together.
func FuzzFrame(f *testing.F) {
	f.Add("a.b", "r", []byte("NATS/1.0\r\n\r\n"), []byte("v"))
	f.Add("a", "", []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, subject, reply string, block, value []byte) {
		if checkSubject([]byte(subject)) != nil || reply != "" && checkSubject([]byte(reply)) != nil {
			return
		}
		frames := appendFrame(nil, []byte(subject), []byte(reply), block, value)
		frames = appendFrame(frames, []byte("next"), nil, nil, []byte("n"))
		got, rest, err := cutFrame(frames)
		if err != nil || got.subject != subject || got.reply != reply || !bytes.Equal(got.head(), block) || !bytes.Equal(got.data(), value) {
			t.Fatalf("%q: %+v, %v", frames, got, err)
		}
		if got, rest, err = cutFrame(rest); err != nil || got.subject != "next" || len(rest) > 0 {
			t.Fatalf("the next one: %+v, %q, %v", got, rest, err)
		}
	})
}

// FuzzEncode: whatever a message holds, it goes out as one frame of the protocol within the server's limits,
// or is refused.
func FuzzEncode(f *testing.F) {
	f.Add("orders\r\nPUB x 0\r\n", []byte("k\r\n"), []byte("v\r\nPUB y 0\r\n\r\n"), "h\r\n", []byte("\r\n\r\nPUB z 0\r\n"), 1<<20, true)
	f.Add("a.b", []byte{}, []byte{}, "Nats-Rollup", []byte("all"), 40, false)
	f.Fuzz(func(t *testing.T, subject string, key, value []byte, name string, text []byte, maxPayload int, add bool) {
		s, err := newSubjects(nil)
		if err != nil {
			t.Fatal(err)
		}
		var e framer
		e.headers.add, e.headers.limit = add, math.MaxUint16
		m := connectors.Message{Subject: subject, Key: key, Value: value, Headers: []connectors.Header{{Key: name, Value: text}}, Offset: 1}
		if err := e.encode(s, int64(maxPayload), testBatch, &m); err != nil {
			if !connectors.IsPermanent(err) {
				t.Fatal(err)
			}
			return
		}
		frames := appendFrame(nil, e.subject, []byte("_INBOX.a.b"), e.block, m.Value)
		got, rest, err := cutFrame(frames)
		if err != nil || len(rest) > 0 || got.subject != string(e.subject) || got.reply != "_INBOX.a.b" || !bytes.Equal(got.data(), value) {
			t.Fatalf("%q: %+v, %q, %v", frames, got, rest, err)
		}
		const maxControlLine = 4096 // a server's default
		if line := bytes.IndexByte(frames, '\n'); line > maxControlLine-64 || !server.IsValidLiteralSubject(got.subject) {
			t.Fatalf("a line of %d bytes for %q", line, got.subject)
		}
		if len(got.body) > maxPayload || got.headed > math.MaxUint16 {
			t.Fatalf("%d bytes of headers, %d of data", got.headed, len(got.data()))
		}
		if got.headed > 0 {
			checkBlock(t, got.head())
		}
	})
}
