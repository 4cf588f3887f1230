package truth

import (
	"math/rand/v2"
	"strings"
)

// HostileNames, HostileValues and HostileKeys are what headers and keys may hold to hurt a
// NATS server, a client or the bridge.
var (
	HostileNames = []string{
		"Nats-Rollup", "Nats-Msg-Id", "Nats-Expected-Last-Sequence", "Nats-TTL", "Nats-Batch-Id", "Nats-Batch-Commit", "nats-rollup",
		"Status", "status", "Description", "Sluice-Key", "Sluice-Null", "Sluice-Headers", "Sluice-Time",
		"two words", "colon:name", "line\r\nbreak", "", "ünïcode", "\xff\xfe", "a", "a", "A", strings.Repeat("n", 300),
	}
	HostileValues = [][]byte{
		nil, {}, []byte("all"), []byte("sub"), []byte("1"), []byte("503"), []byte(" blank "), []byte("\t"), []byte("cr\r\nNats-Rollup: all"),
		{0}, {0xff, 0xfe}, []byte("base64:"), []byte("ünïcode"), []byte(strings.Repeat("v", 2000)),
	}
	HostileKeys = [][]byte{
		nil, {}, []byte("$JS.API.STREAM.PURGE.X"), []byte("*"), []byte(">"), []byte("a.b.>"), []byte("_INBOX.x"), []byte(".."), []byte(" "),
		[]byte("cr\r\nPUB x 1\r\n"), []byte("base64:x"), []byte(strings.Repeat("k", 5000)), {0, 1, 2, 0xff}, []byte("ordinary"),
	}
)

// HostileHeader returns one at random.
func HostileHeader(random *rand.Rand) Header {
	return Header{Name: HostileNames[random.IntN(len(HostileNames))], Value: HostileValues[random.IntN(len(HostileValues))]}
}
