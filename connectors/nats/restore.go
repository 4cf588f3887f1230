package nats

import (
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
