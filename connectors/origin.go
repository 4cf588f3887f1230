package connectors

import (
	"bytes"
	"fmt"
	"strconv"
)

// OriginHeader names where a message was read last and how many bridges it has passed, such as
// "kafka:<cluster id>/orders/3/1042;hops=1": [Batch.Origin], the offset, the hops. Sinks write it, as
// the only header of that name.
const OriginHeader = "Sluice-Origin"

// How many bridges a message may pass: more is a loop.
const (
	DefaultMaxHops = 8
	// MostHops is the most that can be allowed.
	MostHops = 64
)

const hopsMark = ";hops="

// Origin is what a Sluice-Origin says.
type Origin struct {
	Partition []byte // as Batch.Origin; a part of the value that was parsed
	Offset    int64
	Hops      int
}

// FindOrigin returns the value of the Sluice-Origin header, nil only if there is none.
func FindOrigin(headers []Header) []byte {
	for i := range headers {
		if h := &headers[i]; h.Key == OriginHeader {
			if h.Value == nil {
				return []byte{}
			}
			return h.Value
		}
	}
	return nil
}

// ParseOrigin reads a value of the header; false if it names no place.
func ParseOrigin(value []byte) (Origin, bool) {
	place, hops := CutHops(value)
	slash := bytes.LastIndexByte(place, '/')
	if slash < 1 {
		return Origin{}, false
	}
	offset, ok := parseDigits(place[slash+1:])
	return Origin{Partition: place[:slash], Offset: offset, Hops: hops}, ok
}

// CutHops splits a value into the place and the hops. Hops that cannot be read count as one.
func CutHops(value []byte) (place []byte, hops int) {
	place = value
	if i := bytes.LastIndex(value, []byte(hopsMark)); i >= 0 {
		place = value[:i]
		if n, ok := parseDigits(value[i+len(hopsMark):]); ok {
			return place, int(min(n, 2*MostHops))
		}
	}
	return place, 1
}

// parseDigits reads a number of at most 18 digits without allocating.
func parseDigits(text []byte) (n int64, ok bool) {
	if len(text) == 0 || len(text) > 18 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// NextHops returns how many bridges a message of b will have passed once it is written; origin is its
// own Sluice-Origin, nil if it has none. 0: there is nothing to write, for neither the message nor its
// source names a place. A message that would pass more than limit (Env.MaxHops) is refused by a Permanent
// error: it goes in circles.
func NextHops(b *Batch, origin []byte, limit int) (int, error) {
	if origin == nil {
		if b.Origin == "" {
			return 0, nil
		}
		return 1, nil
	}
	place, hops := CutHops(origin)
	if limit == 0 {
		limit = DefaultMaxHops
	}
	if hops >= limit {
		return 0, Permanent(fmt.Errorf(
			"loop: the message has passed %d bridges, the last read it at %.200q; make sure that no route leads back", hops, place))
	}
	return hops + 1, nil
}

// AppendOrigin appends the value to be written for m, which is of b, to dst. Where the source has no
// lasting positions the place that the message brought stays, with the hops that NextHops counted.
func AppendOrigin(dst []byte, b *Batch, m *Message, origin []byte, hops int) []byte {
	if b.Origin != "" {
		dst = AppendPlace(dst, b, m)
	} else {
		place, _ := CutHops(origin)
		dst = append(dst, place...)
	}
	return AppendHops(dst, hops)
}

// AppendHops appends what stands behind the place in a value of the header.
func AppendHops(dst []byte, hops int) []byte {
	dst = append(dst, hopsMark...)
	return strconv.AppendInt(dst, int64(hops), 10)
}

// AppendPlace appends what names m, which is of b, world-wide: a value without its hops.
func AppendPlace(dst []byte, b *Batch, m *Message) []byte {
	dst = append(dst, b.Origin...)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, m.Offset, 10)
}
