package truth

import (
	"fmt"
	"strconv"
	"time"
)

// Load makes the messages of one run. The same n makes the same message, whoever asks.
type Load struct {
	Run  string
	Size int // bytes of an ordinary value
	// Plain leaves out what only Kafka has: keys, null values, times of the past, null header values.
	Plain    bool
	Subjects int // for streams: how many subjects "<prefix>.<i>" there are
	// Began is the time of the first message, a millisecond before the next. Zero: one that is always the same.
	Began time.Time
}

// started is the time of the first message: fixed, so that a load can be compared with itself.
var started = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// Message returns the n-th message. Most have a key, Size bytes of value and five headers, two names of
// which stand twice; among them are null and empty keys and values, and no headers but the id. Message
// 100 has an empty value and a key.
func (l *Load) Message(n int64) Message {
	m := Message{
		Key:   []byte("key-" + strconv.FormatInt(n%997, 10)),
		Value: l.value(n),
		Headers: []Header{
			{IDHeader, []byte(fmt.Sprintf("%s/%d", l.Run, n))},
			{"step", []byte("one")},
			{"content-type", []byte("text/plain")},
			{"step", []byte("two")},
			{"content-type", []byte("charset=utf-8")},
			{"blank", []byte{}},
		},
		Time: l.began().Add(time.Duration(n) * time.Millisecond),
	}
	switch {
	case n%100 == 0:
		m.Value = []byte{}
	case n%100 == 1 && !l.Plain:
		m.Value = nil
	case n%100 == 2:
		m.Headers = m.Headers[:1]
	case n%100 == 3:
		m.Key = nil
	case n%100 == 4:
		m.Key = []byte{}
	case n%100 == 5 && !l.Plain:
		m.Headers = append(m.Headers, Header{"null", nil})
	case n%100 == 6:
		m.Key = []byte{0, 1, '.', '*', '>', 0xff, '\r', '\n'}
	}
	if l.Plain {
		m.Key = nil
	}
	return m
}

func (l *Load) began() time.Time {
	if l.Began.IsZero() {
		return started
	}
	return l.Began
}

// value returns text that does not compress to nothing: a line of digits of a simple generator.
func (l *Load) value(n int64) []byte {
	v := make([]byte, l.Size)
	x := uint64(n)*0x9e3779b97f4a7c15 + 1
	for i := range v {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		v[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[x>>58]
	}
	return v
}
