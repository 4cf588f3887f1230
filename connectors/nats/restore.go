package nats

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// restore fills in what a NATS message says in its headers: it sets m.Headers, and m.Key, m.Time and
// a nil m.Value where a Sluice sink noted them. m.Value and the broker's m.Time are to be set
// before. Sluice-Origin stays, as the last header. A Sluice-* header that makes no sense, such as
// one that somebody invented, is a header like any other.
func restore(m *connectors.Message, h nats.Header) {
	list := make([]connectors.Header, 0, len(h))
	for name, values := range h {
		for _, v := range values {
			list = append(list, connectors.Header{Key: name, Value: append([]byte{}, v...)})
		}
	}
	restoreList(m, list)
}

// restoreList is restore for headers in the order in which they came. What stays uses their array.
func restoreList(m *connectors.Message, list []connectors.Header) {
	m.Headers = nil
	sortByName(list)
	kept, whole := list[:0], false
	var carried []connectors.Header
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Key == list[0].Key {
			n++
		}
		h := list[0]
		switch {
		case n > 1:
		case h.Key == headerHeaders:
			if carried, whole = decodeList(textOf(h.Value)); whole {
				n = 0
			}
		case note(m, &h):
			n = 0
		}
		kept = append(kept, list[:n]...)
		list = list[max(n, 1):]
	}
	if whole {
		kept = slices.DeleteFunc(kept, func(h connectors.Header) bool { return named(carried, h.Key) })
		kept = append(carried, kept...)
	}
	if len(kept) > 0 {
		m.Headers = kept
	}
}

// note takes a header that says something of the message itself, and reports whether it was one.
func note(m *connectors.Message, h *connectors.Header) (ok bool) {
	switch h.Key {
	case headerKey:
		var key []byte
		if key, ok = parseKey(h.Value); ok {
			m.Key = key
		}
	case headerTime:
		var t time.Time
		if t, ok = parseTime(textOf(h.Value)); ok {
			m.Time = t
		}
	case headerNull:
		if ok = string(h.Value) == "1" && len(m.Value) == 0; ok {
			m.Value = nil
		}
	}
	return ok
}

func named(list []connectors.Header, name string) bool {
	return slices.ContainsFunc(list, func(h connectors.Header) bool { return h.Key == name })
}

// sortByName sorts headers by name, Sluice-Origin last, and keeps the order of those of one name.
func sortByName(list []connectors.Header) {
	less := func(a, b *connectors.Header) int {
		switch {
		case (a.Key == headerOrigin) == (b.Key == headerOrigin):
			return strings.Compare(a.Key, b.Key)
		case a.Key == headerOrigin:
			return 1
		}
		return -1
	}
	if len(list) > 16 {
		slices.SortStableFunc(list, func(a, b connectors.Header) int { return less(&a, &b) })
		return
	}
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && less(&list[j-1], &list[j]) > 0; j-- {
			list[j-1], list[j] = list[j], list[j-1]
		}
	}
}

// parseKey reads a key, which is part of v where that holds it as it is.
func parseKey(v []byte) (key []byte, ok bool) {
	encoded, ok := bytes.CutPrefix(v, []byte(base64Mark))
	if !ok {
		return v[:len(v):len(v)], true
	}
	key, err := base64.RawStdEncoding.Strict().AppendDecode([]byte{}, encoded)
	return key, err == nil
}

func decodeList(v string) ([]connectors.Header, bool) {
	data, err := base64.RawStdEncoding.Strict().DecodeString(v)
	if err != nil {
		return nil, false
	}
	return parseList(data)
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
