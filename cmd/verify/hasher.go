package verify

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/sluice-bridge/sluice/connectors"
)

// prints stand for the fields of a message. Nil and empty have different ones; Sluice-Origin has none.
type prints struct{ key, value, headers, time uint64 }

// hasher makes prints. Their seed is drawn anew for each comparison, so nobody can make messages up whose
// prints are alike.
type hasher struct {
	seed    maphash.Seed
	scratch []byte
}

func newHasher() *hasher { return &hasher{seed: maphash.MakeSeed()} }

func (h *hasher) prints(m *connectors.Message) prints {
	p := prints{key: h.bytes(m.Key), value: h.bytes(m.Value), headers: h.headers(m.Headers)}
	if !m.Time.IsZero() {
		p.time = uint64(m.Time.Unix())*1e9 + uint64(m.Time.Nanosecond()) | 1<<63
	}
	return p
}

func (h *hasher) bytes(b []byte) uint64 {
	if b == nil {
		return 0
	}
	return maphash.Bytes(h.seed, b) | 1
}

func (h *hasher) headers(headers []connectors.Header) uint64 {
	text := h.scratch[:0]
	for i := range headers {
		one := &headers[i]
		if one.Key == connectors.OriginHeader {
			continue
		}
		text = binary.AppendUvarint(text, uint64(len(one.Key)))
		text = append(text, one.Key...)
		if one.Value == nil {
			text = append(text, 0)
			continue
		}
		text = binary.AppendUvarint(text, uint64(len(one.Value))+1)
		text = append(text, one.Value...)
	}
	h.scratch = text
	return maphash.Bytes(h.seed, text)
}

// sum is what a message adds to the sum of its block.
func (h *hasher) sum(p prints, offset int64) uint64 {
	return maphash.Comparable(h.seed, struct {
		prints
		offset int64
	}{p, offset})
}

// differ names the fields in which two messages differ. A time that either end does not know is not
// compared.
func (p prints) differ(q prints) (fields []string) {
	if p.key != q.key {
		fields = append(fields, "key")
	}
	if p.value != q.value {
		fields = append(fields, "value")
	}
	if p.headers != q.headers {
		fields = append(fields, "headers")
	}
	if p.time != q.time && p.time != 0 && q.time != 0 {
		fields = append(fields, "time")
	}
	return fields
}
