package nats

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// The headers a sink adds so that a message comes back out of NATS as it went in. No other part of
// Sluice writes them.
//
//	Sluice-Origin: <Batch.Origin>/<offset>;hops=<n>   where the message was read; n counts bridges
//	Sluice-Key: <key>                                 the key; "base64:..." where NATS would change it; absent: nil
//	Sluice-Time: <RFC 3339, nanoseconds, UTC>         or "@<unix seconds>.<nanoseconds>" outside the years 0 to 9999
//	Sluice-Null: 1                                    the value was nil, not empty
//	Sluice-Headers: <base64>                          the whole list of headers, see [appendList]
//
// Sluice-Headers stands only where plain headers do not carry the list exactly: NATS clients keep
// the order of values, not that of names, trim values, refuse or interpret names (Nats-*, Status).
// The headers that are harmless by themselves stay readable beside it.
const (
	headerOrigin  = connectors.OriginHeader
	headerKey     = "Sluice-Key"
	headerTime    = "Sluice-Time"
	headerNull    = "Sluice-Null"
	headerHeaders = "Sluice-Headers"

	headerLine  = "NATS/1.0\r\n"
	base64Mark  = "base64:"
	maxListSize = 1 << 16 // entries of a Sluice-Headers list: more cannot stand in 64 KiB
)

// headerEncoder turns the headers of messages into the header block of a NATS message. It reuses its
// buffers and has one user at a time.
type headerEncoder struct {
	add   bool // add Sluice-* headers
	limit int  // bytes a block may have; 0: no limit
	hops  int  // as Env.MaxHops

	list []byte // the encoded list of headers

	// What consecutive messages have in common, and its form in a block.
	origin, place []byte // Batch.Origin
	second        int64  // the time in whole seconds; its text without fraction and zone is clock
	clock         []byte
}

// append appends the header block of m, which is of b, to dst: nothing where there are no headers,
// else "NATS/1.0" and its lines. A message whose headers cannot be carried is refused by a Permanent
// error.
func (e *headerEncoder) append(dst []byte, b *connectors.Batch, m *connectors.Message) ([]byte, error) {
	start := len(dst)
	exact, origin := survey(m.Headers)
	if !e.add {
		return e.appendBare(dst, m)
	}
	dst = append(dst, headerLine...)
	own := len(dst)
	dst, err := e.appendOrigin(dst, b, m, origin)
	if err != nil {
		return dst[:start], err
	}
	dst = e.appendOwn(dst, m)
	if !exact {
		e.list = appendList(e.list[:0], m.Headers)
		dst = append(dst, headerHeaders+": "...)
		dst = base64.RawStdEncoding.AppendEncode(dst, e.list)
		dst = append(dst, '\r', '\n')
	}
	bare := len(dst)
	for i := range m.Headers {
		if h := &m.Headers[i]; h.Key != headerOrigin && (exact || plainName(h.Key) && plainValue(h.Value)) {
			dst = appendLine(dst, h.Key, h.Value)
		}
	}
	if !exact && e.limit > 0 && len(dst)-start+2 > e.limit {
		dst = dst[:bare] // the readable copies are the ones to go
	}
	if len(dst) == own {
		return dst[:start], nil
	}
	return e.finish(dst, start)
}

// appendBare carries the headers only, as a route with `headers: none` asks for.
func (e *headerEncoder) appendBare(dst []byte, m *connectors.Message) ([]byte, error) {
	if len(m.Headers) == 0 {
		return dst, nil
	}
	start := len(dst)
	dst = append(dst, headerLine...)
	for i := range m.Headers {
		h := &m.Headers[i]
		if h.Key != headerOrigin && !plainName(h.Key) || !plainValue(h.Value) {
			return dst[:start], connectors.Permanent(fmt.Errorf(
				"header %.100q: NATS would change or interpret it; leave `headers: none` out, then it is carried encoded", h.Key))
		}
		dst = appendLine(dst, h.Key, h.Value)
	}
	return e.finish(dst, start)
}

func (e *headerEncoder) finish(dst []byte, start int) ([]byte, error) {
	dst = append(dst, '\r', '\n')
	if size := len(dst) - start; e.limit > 0 && size > e.limit {
		return dst[:start], connectors.Permanent(fmt.Errorf(
			"headers take %d bytes, the most that NATS stores are %d", size, e.limit))
	}
	return dst, nil
}

// survey tells whether plain NATS headers carry the list exactly, and what FindOrigin finds in it.
// They do if every header is harmless and the names ascend, for that is the order in which restore
// reads them back.
func survey(headers []connectors.Header) (exact bool, origin []byte) {
	exact = true
	last := ""
	for i := range headers {
		h := &headers[i]
		if h.Key == headerOrigin {
			if origin == nil {
				origin = connectors.FindOrigin(headers[i:])
			}
			continue
		}
		if h.Key < last || h.Value == nil || !plainName(h.Key) || !plainValue(h.Value) {
			exact = false
		}
		last = h.Key
	}
	return exact, origin
}

// appendOrigin writes Sluice-Origin with one hop more than the message came with.
func (e *headerEncoder) appendOrigin(dst []byte, b *connectors.Batch, m *connectors.Message, origin []byte) ([]byte, error) {
	hops, err := connectors.NextHops(b, origin, e.hops)
	if hops == 0 || err != nil {
		return dst, err
	}
	dst = append(dst, headerOrigin+": "...)
	if b.Origin == "" {
		start := len(dst)
		dst = connectors.AppendOrigin(dst, b, m, origin, hops)
		printable(dst[start:])
		return append(dst, '\r', '\n'), nil
	}
	if b.Origin != string(e.origin) {
		e.origin = append(e.origin[:0], b.Origin...)
		e.place = append(e.place[:0], b.Origin...)
		printable(e.place)
	}
	dst = append(dst, e.place...)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, m.Offset, 10)
	dst = connectors.AppendHops(dst, hops)
	return append(dst, '\r', '\n'), nil
}

// appendPlace appends what names m, which is of b, as it stands in Sluice-Origin before its hops.
func appendPlace(dst []byte, b *connectors.Batch, m *connectors.Message) []byte {
	start := len(dst)
	dst = connectors.AppendPlace(dst, b, m)
	printable(dst[start:])
	return dst
}

// appendOwn writes what a NATS message has no field for.
func (e *headerEncoder) appendOwn(dst []byte, m *connectors.Message) []byte {
	if m.Key != nil {
		dst = append(dst, headerKey+": "...)
		if plainValue(m.Key) && !bytes.HasPrefix(m.Key, []byte(base64Mark)) {
			dst = append(dst, m.Key...)
		} else {
			dst = append(dst, base64Mark...)
			dst = base64.RawStdEncoding.AppendEncode(dst, m.Key)
		}
		dst = append(dst, '\r', '\n')
	}
	if !m.Time.IsZero() {
		dst = append(dst, headerTime+": "...)
		dst = e.appendTime(dst, m.Time)
		dst = append(dst, '\r', '\n')
	}
	if m.Value == nil {
		dst = append(dst, headerNull+": 1\r\n"...)
	}
	return dst
}

// appendTime appends time.RFC3339Nano in UTC. Nearly always only the fraction differs from the message
// before.
func (e *headerEncoder) appendTime(dst []byte, t time.Time) []byte {
	if second := t.Unix(); len(e.clock) > 0 && second == e.second {
		dst = append(dst, e.clock...)
		return append(appendFraction(dst, t.Nanosecond()), 'Z')
	}
	t = t.UTC()
	if y := t.Year(); y >= 0 && y <= 9999 {
		e.second, e.clock = t.Unix(), t.AppendFormat(e.clock[:0], "2006-01-02T15:04:05")
		dst = append(dst, e.clock...)
		return append(appendFraction(dst, t.Nanosecond()), 'Z')
	}
	dst = append(dst, '@')
	dst = strconv.AppendInt(dst, t.Unix(), 10)
	dst = append(dst, '.')
	return strconv.AppendInt(dst, int64(t.Nanosecond()), 10)
}

// appendFraction appends a fraction of a second, "." and its digits without zeros at the end.
func appendFraction(dst []byte, nanoseconds int) []byte {
	if nanoseconds == 0 {
		return dst
	}
	var digits [10]byte
	for i := len(digits) - 1; i > 0; i-- {
		digits[i] = '0' + byte(nanoseconds%10)
		nanoseconds /= 10
	}
	digits[0] = '.'
	return append(dst, bytes.TrimRight(digits[:], "0")...)
}

func appendLine(dst []byte, name string, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// printable replaces everything in s but printable ASCII.
func printable(s []byte) {
	for i, c := range s {
		if c <= ' ' || c >= 0x7f {
			s[i] = '_'
		}
	}
}
