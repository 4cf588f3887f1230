package nats

import (
	"bytes"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// What a server says beside messages stands in the first line of a header block, and is read as two
// headers.
const (
	headerStatus      = "Status"
	headerDescription = "Description"
	statusSize        = 3
)

// parseBlock appends the headers of a block to dst, in their order; they are of the block's memory. It reads
// what nats.DecodeHeadersMsg reads; ok is false where that fails.
func parseBlock(dst []connectors.Header, block []byte) (list []connectors.Header, ok bool) {
	start := len(dst)
	first, rest, ok := cutLine(block)
	if !ok || !bytes.HasPrefix(first, []byte("NATS/1.0")) {
		return dst, false
	}
	for {
		var text []byte
		if text, rest, ok = cutLine(rest); !ok {
			return dst[:start], false
		}
		if len(text) == 0 {
			break
		}
		colon := bytes.IndexByte(text, ':')
		if colon < 0 {
			return dst[:start], false
		}
		if colon == 0 {
			continue // a header without a name is left out
		}
		value := bytes.TrimLeft(text[colon+1:], " \t")
		if value == nil {
			value = []byte{}
		}
		dst = append(dst, connectors.Header{Key: textOf(text[:colon]), Value: value[:len(value):len(value)]})
	}
	status := bytes.TrimSpace(first[len("NATS/1.0"):])
	switch {
	case len(first) == len("NATS/1.0"):
		return dst, true
	case len(status) < statusSize:
		return dst[:start], false
	}
	dst = append(dst, connectors.Header{Key: headerStatus, Value: status[:statusSize:statusSize]})
	if description := bytes.TrimSpace(status[statusSize:]); len(description) > 0 {
		dst = append(dst, connectors.Header{Key: headerDescription, Value: description})
	}
	return dst, true
}

// cutLine returns the first line of text without its end.
func cutLine(text []byte) (first, rest []byte, ok bool) {
	end := bytes.IndexByte(text, '\n')
	if end < 0 {
		return nil, nil, false
	}
	first, rest = text[:end], text[end+1:]
	if end > 0 && first[end-1] == '\r' {
		first = first[:end-1]
	}
	return first, rest, true
}

// appendBlock is the inverse of nats.DecodeHeadersMsg, but for a status, which becomes two headers.
func appendBlock(dst []byte, h nats.Header) []byte {
	dst = append(dst, headerLine...)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			dst = append(dst, name...)
			dst = append(dst, ':', ' ')
			dst = append(dst, v...)
			dst = append(dst, '\r', '\n')
		}
	}
	return append(dst, '\r', '\n')
}

// status returns what a server says in a block: a code and a description, "" where it says nothing.
func status(block []byte) (code, description string) {
	list, _ := parseBlock(nil, block)
	for _, h := range list {
		switch h.Key {
		case headerStatus:
			code = string(h.Value)
		case headerDescription:
			description = string(h.Value)
		}
	}
	return code, description
}
