package truth

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Encode makes the headers under which a stream holds m as if a bridge had written it: the inverse of
// Decode, by the documentation of connectors/nats/convert.go.
func Encode(m *Message, origin string) nats.Header {
	h := nats.Header{"Sluice-Origin": {origin}}
	if m.Key != nil {
		h["Sluice-Key"] = []string{"base64:" + base64.RawStdEncoding.EncodeToString(m.Key)}
	}
	if !m.Time.IsZero() {
		h["Sluice-Time"] = []string{m.Time.UTC().Format(time.RFC3339Nano)}
	}
	if m.Value == nil {
		h["Sluice-Null"] = []string{"1"}
	}
	var list []byte
	for _, one := range m.Headers {
		list = binary.AppendUvarint(list, uint64(len(one.Name)))
		list = append(list, one.Name...)
		if one.Value == nil {
			list = append(list, 0)
			continue
		}
		list = binary.AppendUvarint(list, uint64(len(one.Value))+1)
		list = append(list, one.Value...)
	}
	if list != nil {
		h["Sluice-Headers"] = []string{base64.RawStdEncoding.EncodeToString(list)}
	}
	return h
}

// Record makes the record that a topic holds of m as if a bridge had written it.
func Record(m *Message, origin string) *kgo.Record {
	r := recordOf(m)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "Sluice-Origin", Value: []byte(origin)})
	return r
}
