package nats

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/sluice-bridge/sluice/connectors"
)

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
