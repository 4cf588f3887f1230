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
	headerOrigin  = "Sluice-Origin"
	headerKey     = "Sluice-Key"
	headerTime    = "Sluice-Time"
	headerNull    = "Sluice-Null"
	headerHeaders = "Sluice-Headers"

	headerLine  = "NATS/1.0\r\n"
	base64Mark  = "base64:"
	hopsMark    = ";hops="
	maxHops     = 8
	maxListSize = 1 << 16 // entries of a Sluice-Headers list: more cannot stand in 64 KiB
)

// headerEncoder turns the headers of messages into the header block of a NATS message. It reuses its
// buffers and has one user at a time.
type headerEncoder struct {
	add   bool // add Sluice-* headers
	limit int  // bytes a block may have; 0: no limit

	list []byte // the encoded list of headers
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
	dst, err := appendOrigin(dst, b, m, origin)
	if err != nil {
		return dst[:start], err
	}
	dst = appendOwn(dst, m)
	if !exact {
		e.list = appendList(e.list[:0], m.Headers)
		dst = append(dst, headerHeaders+": "...)
		dst = base64.RawStdEncoding.AppendEncode(dst, e.list)
		dst = append(dst, '\r', '\n')
	}
	bare := len(dst)
	for i := range m.Headers {
		if h := &m.Headers[i]; h.Key != headerOrigin && plainName(h.Key) && plainValue(h.Value) {
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

// survey tells whether plain NATS headers carry the list exactly, and the Sluice-Origin it holds.
// They do if every header is harmless and the names ascend, for that is the order in which restore
// reads them back.
func survey(headers []connectors.Header) (exact bool, origin []byte) {
	exact = true
	last := ""
	for i := range headers {
		h := &headers[i]
		if h.Key == headerOrigin {
			origin = h.Value
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
func appendOrigin(dst []byte, b *connectors.Batch, m *connectors.Message, origin []byte) ([]byte, error) {
	path, hops := parseOrigin(origin)
	if b.Origin == "" && len(path) == 0 {
		return dst, nil
	}
	if hops >= maxHops {
		return dst, connectors.Permanent(fmt.Errorf(
			"loop: the message passed %d bridges, the last read it at %.200q; routes feed one another", hops, path))
	}
	dst = append(dst, headerOrigin+": "...)
	if b.Origin == "" {
		dst = appendPrintable(dst, path)
	} else {
		dst = appendOriginPath(dst, b, m)
	}
	dst = append(dst, hopsMark...)
	dst = strconv.AppendInt(dst, int64(hops+1), 10)
	return append(dst, '\r', '\n'), nil
}

// appendOriginPath appends what names m, which is of b, world-wide: Sluice-Origin without its hops.
func appendOriginPath(dst []byte, b *connectors.Batch, m *connectors.Message) []byte {
	dst = appendPrintable(dst, b.Origin)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, m.Offset, 10)
}

// parseOrigin splits a Sluice-Origin. Hops that cannot be read count as none.
func parseOrigin(value []byte) (path []byte, hops int) {
	i := bytes.LastIndex(value, []byte(hopsMark))
	if i < 0 {
		return value, 0
	}
	n, err := strconv.ParseUint(string(value[i+len(hopsMark):]), 10, 31)
	if err != nil {
		return value[:i], 0
	}
	return value[:i], int(n)
}

// appendOwn writes what a NATS message has no field for.
func appendOwn(dst []byte, m *connectors.Message) []byte {
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
		dst = appendTime(dst, m.Time)
		dst = append(dst, '\r', '\n')
	}
	if m.Value == nil {
		dst = append(dst, headerNull+": 1\r\n"...)
	}
	return dst
}

func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y >= 0 && y <= 9999 {
		return t.AppendFormat(dst, time.RFC3339Nano)
	}
	dst = append(dst, '@')
	dst = strconv.AppendInt(dst, t.Unix(), 10)
	dst = append(dst, '.')
	return strconv.AppendInt(dst, int64(t.Nanosecond()), 10)
}

func appendLine(dst []byte, name string, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// appendPrintable appends s with everything but printable ASCII replaced.
func appendPrintable[S string | []byte](dst []byte, s S) []byte {
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f {
			dst = append(dst, c)
		} else {
			dst = append(dst, '_')
		}
	}
	return dst
}
