package nats

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

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

func parseTime(s string) (time.Time, bool) {
	if rest, ok := strings.CutPrefix(s, "@"); ok {
		sec, nano, _ := strings.Cut(rest, ".")
		n, err := strconv.ParseInt(sec, 10, 64)
		ns, err2 := strconv.ParseUint(nano, 10, 30)
		return time.Unix(n, int64(ns)).UTC(), err == nil && err2 == nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err == nil
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

// plainName tells whether a header of this name means nothing to a NATS server, a NATS client or
// Sluice, and whether all of them take it: the token of RFC 9110, which is what nats.go accepts.
// Bytes of a name or value go onto the wire as they are, so this and plainValue are what keeps a
// message from speaking the NATS protocol.
func plainName(name string) bool {
	if name == "" || len(name) > 1024 {
		return false
	}
	for i := range len(name) {
		if !tokenByte(name[i]) {
			return false
		}
	}
	switch name[0] | 0x20 {
	case 'n':
		return !hasPrefixFold(name, "nats-")
	case 's':
		return !hasPrefixFold(name, "sluice-") && !strings.EqualFold(name, "status")
	case 'd':
		return !strings.EqualFold(name, "description")
	}
	return true
}

func tokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// plainValue tells whether NATS clients carry a value as it is: no control characters, no blanks at
// its ends, valid UTF-8.
func plainValue(v []byte) bool {
	if len(v) == 0 {
		return true
	}
	ascii := true
	for _, c := range v {
		if c < ' ' || c == 0x7f {
			return false
		}
		ascii = ascii && c < 0x80
	}
	if v[0] == ' ' || v[len(v)-1] == ' ' {
		return false
	}
	return ascii || utf8.Valid(v) && len(bytes.TrimSpace(v)) == len(v)
}

// appendList writes headers one after the other: the length of the name as uvarint, the name, the
// length of the value plus one (0: nil), the value. Sluice-Origin is no part of the list.
func appendList(dst []byte, headers []connectors.Header) []byte {
	for i := range headers {
		h := &headers[i]
		if h.Key == headerOrigin {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(h.Key)))
		dst = append(dst, h.Key...)
		if h.Value == nil {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(h.Value))+1)
		dst = append(dst, h.Value...)
	}
	return dst
}

// parseList is the inverse of appendList; ok is false if data is not exactly what it writes.
func parseList(data []byte) (headers []connectors.Header, ok bool) {
	next := func(length uint64) (part []byte, ok bool) {
		if length > uint64(len(data)) {
			return nil, false
		}
		part, data = data[:length:length], data[length:]
		return part, true
	}
	for len(data) > 0 && len(headers) < maxListSize {
		n, used := binary.Uvarint(data)
		if used <= 0 {
			return nil, false
		}
		data = data[used:]
		name, ok := next(n)
		if !ok {
			return nil, false
		}
		n, used = binary.Uvarint(data)
		if used <= 0 {
			return nil, false
		}
		data = data[used:]
		h := connectors.Header{Key: string(name)}
		if n > 0 {
			if h.Value, ok = next(n - 1); !ok {
				return nil, false
			}
		}
		if h.Key == headerOrigin {
			return nil, false
		}
		headers = append(headers, h)
	}
	return headers, len(data) == 0
}

// restore fills in what a NATS message says in its headers: it sets m.Headers, and m.Key, m.Time and
// a nil m.Value where a Sluice sink noted them. m.Value and the broker's m.Time are to be set
// before. Sluice-Origin stays, as the last header. A Sluice-* header that makes no sense, such as
// one that somebody invented, is a header like any other.
func restore(m *connectors.Message, h nats.Header) {
	m.Headers = nil
	if len(h) == 0 {
		return
	}
	used := make([]string, 0, 8)
	if v, ok := only(h, headerKey); ok {
		if key, ok := parseKey(v); ok {
			m.Key = key
			used = append(used, headerKey)
		}
	}
	if v, ok := only(h, headerTime); ok {
		if t, ok := parseTime(v); ok {
			m.Time = t
			used = append(used, headerTime)
		}
	}
	if v, ok := only(h, headerNull); ok && v == "1" && len(m.Value) == 0 {
		m.Value = nil
		used = append(used, headerNull)
	}
	if v, ok := only(h, headerHeaders); ok {
		if list, ok := decodeList(v); ok {
			m.Headers = list
			used = append(used, headerHeaders)
			for i := range list {
				used = append(used, list[i].Key)
			}
		}
	}
	m.Headers = appendSorted(m.Headers, h, used)
}

// appendSorted appends the headers of h but those called in used: by name, Sluice-Origin last.
func appendSorted(dst []connectors.Header, h nats.Header, used []string) []connectors.Header {
	names := make([]string, 0, len(h))
	for name := range h {
		if name != headerOrigin && !slices.Contains(used, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(h[headerOrigin]) > 0 {
		names = append(names, headerOrigin)
	}
	for _, name := range names {
		for _, v := range h[name] {
			dst = append(dst, connectors.Header{Key: name, Value: append([]byte{}, v...)})
		}
	}
	return dst
}

func only(h nats.Header, name string) (string, bool) {
	if v := h[name]; len(v) == 1 {
		return v[0], true
	}
	return "", false
}

func parseKey(v string) (key []byte, ok bool) {
	encoded, ok := strings.CutPrefix(v, base64Mark)
	if !ok {
		return append([]byte{}, v...), true
	}
	key, err := base64.RawStdEncoding.Strict().AppendDecode([]byte{}, []byte(encoded))
	return key, err == nil
}

func decodeList(v string) ([]connectors.Header, bool) {
	data, err := base64.RawStdEncoding.Strict().DecodeString(v)
	if err != nil {
		return nil, false
	}
	return parseList(data)
}
