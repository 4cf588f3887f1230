package bridge

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sluice-bridge/sluice/connectors"
)

// The headers that a dead letter carries behind its own: a block that begins with the first and stands in
// alphabetical order, which NATS keeps without further means.
const (
	letterAttempts    = "Dead-Letter-Attempts"     // writes that were tried
	letterKey         = "Dead-Letter-Key"          // for targets that have another key, or none; absent: nil
	letterMessageTime = "Dead-Letter-Message-Time" // Unix seconds and nanoseconds; absent: unknown
	letterOrigin      = "Dead-Letter-Origin"       // Batch.Origin; absent: none
	letterPosition    = "Dead-Letter-Position"     // partition and offset, such as orders/3@42
	letterReason      = "Dead-Letter-Reason"
	letterRedriven    = "Dead-Letter-Redriven" // how often it was redriven; absent: never
	letterRoute       = "Dead-Letter-Route"
	letterSubject     = "Dead-Letter-Subject"   // Message.Subject; absent: empty
	letterTime        = "Dead-Letter-Time"      // when it was refused, RFC 3339
	letterUndecoded   = "Dead-Letter-Undecoded" // the value is raw bytes that the source could not decode

	// letterPrefix stands before the name of a Sluice-Origin that the message brought: the letter has one
	// of its own, and a message that went in circles must not be refused as a letter too.
	letterPrefix = "Dead-Letter-"

	maxReason = 1 << 10 // bytes of a reason
)

// Letter is a dead letter: a message that was refused, and what a person needs to judge it.
type Letter struct {
	Reason    string
	Route     string
	Partition string // where the message was read; Message.Offset is its place there
	Origin    string // as Batch.Origin
	Attempts  int
	Redriven  int
	Time      time.Time // when it was refused
	Undecoded bool      // the value is what the source could not decode, and no message
	Message   connectors.Message
}

// Cause is the reason without what differs from message to message: numbers and what stands in quotes.
func (l *Letter) Cause() string {
	var cause strings.Builder
	quoted, digits := false, false
	for _, c := range l.Reason {
		switch {
		case c == '"':
			quoted = !quoted
			if quoted {
				cause.WriteString(`"…"`)
			}
		case quoted:
		case c >= '0' && c <= '9':
			if !digits {
				cause.WriteByte('#')
			}
		default:
			cause.WriteRune(c)
		}
		digits = c >= '0' && c <= '9'
	}
	return cause.String()
}

// message returns the message that is written to the dead-letter sink.
func (l *Letter) message() connectors.Message {
	m := l.Message
	m.Headers = make([]connectors.Header, 0, len(l.Message.Headers)+11)
	for _, h := range l.Message.Headers {
		if isOrigin(h.Key) {
			h.Key = letterPrefix + h.Key
		}
		m.Headers = append(m.Headers, h)
	}
	add := func(name string, value []byte) {
		m.Headers = append(m.Headers, connectors.Header{Key: name, Value: value})
	}
	add(letterAttempts, strconv.AppendInt(nil, int64(l.Attempts), 10))
	if m.Key != nil {
		add(letterKey, m.Key)
	}
	if !m.Time.IsZero() {
		add(letterMessageTime, fmt.Appendf(nil, "%d.%09d", m.Time.Unix(), m.Time.Nanosecond()))
	}
	if l.Origin != "" {
		add(letterOrigin, []byte(l.Origin))
	}
	add(letterPosition, fmt.Appendf(nil, "%s@%d", l.Partition, m.Offset))
	add(letterReason, []byte(l.Reason))
	if l.Redriven > 0 {
		add(letterRedriven, strconv.AppendInt(nil, int64(l.Redriven), 10))
	}
	add(letterRoute, []byte(l.Route))
	if m.Subject != "" {
		add(letterSubject, []byte(m.Subject))
	}
	add(letterTime, l.Time.UTC().AppendFormat(nil, time.RFC3339Nano))
	if l.Undecoded {
		add(letterUndecoded, []byte("1"))
	}
	return m
}

// isOrigin reports whether a name is Sluice-Origin, also one that was renamed: a letter may become the
// message of another letter.
func isOrigin(name string) bool {
	for name != connectors.OriginHeader {
		rest, found := strings.CutPrefix(name, letterPrefix)
		if !found {
			return false
		}
		name = rest
	}
	return true
}

// reasonOf returns an error's text as a reason: one line of limited length.
func reasonOf(err error) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(err.Error(), "?"))
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason-len("…")], "") + "…"
	}
	return strings.TrimSpace(text)
}

// ReadLetter reads a message of a dead-letter target. ok is false for one that is no dead letter. The
// message in it is what the source had returned, byte for byte; it shares slices with m.
func ReadLetter(m *connectors.Message) (l Letter, ok bool) {
	begin := -1
	for i := range m.Headers {
		if m.Headers[i].Key == letterAttempts {
			begin = i
		}
	}
	if begin < 0 {
		return l, false
	}
	l.Message = connectors.Message{Value: m.Value}
	for _, h := range m.Headers[:begin] {
		if name, renamed := strings.CutPrefix(h.Key, letterPrefix); renamed && isOrigin(name) {
			h.Key = name
		}
		l.Message.Headers = append(l.Message.Headers, h)
	}
	seen := make([]string, 0, 11)
	for _, h := range m.Headers[begin:] {
		switch {
		case !strings.HasPrefix(h.Key, letterPrefix): // the letter's own Sluice-Origin, or what a mirror added
			continue
		case slices.Contains(seen, h.Key) || !l.read(h):
			return Letter{}, false
		}
		seen = append(seen, h.Key)
	}
	for _, name := range []string{letterPosition, letterReason, letterRoute, letterTime} {
		if !slices.Contains(seen, name) {
			return Letter{}, false
		}
	}
	return l, true
}

// read takes one header of the block in and reports whether it makes sense.
func (l *Letter) read(h connectors.Header) bool {
	var err error
	text := string(h.Value)
	switch h.Key {
	case letterAttempts:
		l.Attempts, err = count(text)
	case letterKey:
		l.Message.Key = append([]byte{}, h.Value...)
	case letterMessageTime:
		l.Message.Time, err = parseTime(text)
	case letterOrigin:
		l.Origin = text
	case letterPosition:
		at := strings.LastIndexByte(text, '@')
		if at < 0 {
			return false
		}
		l.Partition = text[:at]
		l.Message.Offset, err = strconv.ParseInt(text[at+1:], 10, 64)
	case letterReason:
		l.Reason = text
	case letterRedriven:
		l.Redriven, err = count(text)
	case letterRoute:
		l.Route = text
	case letterSubject:
		l.Message.Subject = text
	case letterTime:
		l.Time, err = time.Parse(time.RFC3339Nano, text)
	case letterUndecoded:
		l.Undecoded = bytes.Equal(h.Value, []byte("1"))
		return l.Undecoded
	default:
		return false
	}
	return err == nil
}

func count(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}

func parseTime(text string) (time.Time, error) {
	sec, nano, found := strings.Cut(text, ".")
	s, err := strconv.ParseInt(sec, 10, 64)
	n, err2 := strconv.ParseUint(nano, 10, 30)
	if err != nil || err2 != nil || !found || n >= 1e9 {
		return time.Time{}, fmt.Errorf("%q is not Unix seconds and nanoseconds", text)
	}
	return time.Unix(s, int64(n)).UTC(), nil
}
