// Package load makes the messages of the benchmark: a key of 16 bytes, one header of 8 that says which
// message it is, and a value that does not compress.
package load

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
)

const (
	// Header is the name of the one header of a message.
	Header = "h"
	// Partitions is how many a topic has unless it has one, Subjects how many a stream has that is read from.
	Partitions, Subjects = 4, 64

	noiseSize = 8 << 20
	digits    = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
)

// Load makes messages with values of Size bytes. It has one user at a time.
type Load struct {
	size  int
	noise []byte
}

// New returns the load with values of size bytes; the same for all who ask.
func New(size int) *Load {
	random := rand.New(rand.NewPCG(1, 2))
	l := &Load{size: size, noise: make([]byte, noiseSize+size)}
	for i := range l.noise {
		l.noise[i] = digits[random.Uint64()&63]
	}
	return l
}

// Value returns the value of message n, which is not to be changed. Values near each other share no
// text, so that no codec finds anything within the window it looks back.
func (l *Load) Value(n int64) []byte {
	at := int(n * int64(l.size+61) % noiseSize)
	return l.noise[at : at+l.size : at+l.size]
}

// Key appends the key of message n to dst.
func Key(dst []byte, n int64) []byte {
	dst = append(dst, "key-00000000"...)
	return strconv.AppendInt(dst, 1000+n%1000, 10)
}

// ID appends the value of the header of message n to dst.
func ID(dst []byte, n int64) []byte {
	return hex.AppendEncode(dst, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// Parent appends the traceparent of message n, whose trace is sampled, to dst.
func Parent(dst []byte, n int64) []byte {
	return fmt.Appendf(dst, "00-%032x-%016x-01", n+1, n+1)
}

// ParseID is the inverse of ID; -1: it is none.
func ParseID(id string) int64 {
	n, err := strconv.ParseUint(id, 16, 32)
	if err != nil || len(id) != 8 {
		return -1
	}
	return int64(n)
}

// Partition is the partition of message n in a topic of so many.
func Partition(n int64, partitions int32) int32 { return int32(n % int64(partitions)) }

// Subject is the subject of message n of a stream that is read from, below "<prefix>.".
func Subject(prefix string, n int64) string {
	return prefix + "." + strconv.FormatInt(n%Subjects, 10)
}
