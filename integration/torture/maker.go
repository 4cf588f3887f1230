package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// maker makes the messages of a run: the same number makes the same message, whoever asks.
type maker struct {
	run   string
	seed  uint64
	began time.Time // of the first message
	keys  int       // how many different ones
	keyed bool      // every message has a key, as a compacted topic wants it
	size  int       // of every value; 0: at random
	// native leaves out what only Kafka has: keys, null values, hostile headers, times of one's own.
	native bool
	// nearLimit is the size of the largest values that pass, tooLarge of those that the sink refuses; one
	// in a thousand and one in three thousand messages have them, unless they are 0.
	nearLimit, tooLarge int
}

// message makes message n.
func (k *maker) message(n int64) truth.Message {
	random := rand.New(rand.NewPCG(k.seed, uint64(n)))
	m := truth.Message{
		Key:     fmt.Appendf(nil, "key-%d", random.IntN(k.keys)),
		Value:   k.value(random),
		Headers: []truth.Header{{Name: truth.IDHeader, Value: fmt.Appendf(nil, "%s/%d", k.run, n)}},
		Time:    k.began.Add(time.Duration(n) * time.Millisecond / 4),
	}
	for range random.IntN(4) {
		h := truth.Header{Name: fmt.Sprintf("name-%d", random.IntN(3)), Value: []byte(strings.Repeat("v", random.IntN(20)))}
		m.Headers = append(m.Headers, h)
	}
	if k.native {
		m.Key = nil
		return m
	}
	switch odd := random.IntN(100); {
	case odd < 5 && !k.keyed:
		m.Key = truth.HostileKeys[random.IntN(len(truth.HostileKeys))]
	case odd < 15:
		for range 1 + random.IntN(3) {
			h := truth.HostileHeader(random)
			h.Name = strings.ToValidUTF8(h.Name, "\uFFFD") // as franz-go writes it
			m.Headers = append(m.Headers, h)
		}
	case odd < 17:
		m.Value = nil
	}
	return m
}

const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

// value makes text of a size at random, in random pieces of 16 letters.
func (k *maker) value(random *rand.Rand) []byte {
	size := random.IntN(30 + random.IntN(700))
	switch odd := random.IntN(3000); {
	case odd == 0:
		size = max(size, k.tooLarge)
	case odd < 4:
		size = max(size, k.nearLimit)
	case odd < 90:
		size = 0
	case odd < 120:
		size = 1
	}
	if k.size > 0 {
		size = k.size
	}
	v := make([]byte, size)
	for i := 0; i < size; i += 16 {
		x := random.Uint64()
		for j := i; j < min(i+16, size); j++ {
			v[j] = letters[x&63]
			x = x>>4 | x<<60
		}
	}
	return v
}
