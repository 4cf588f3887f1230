package nats

import (
	"strconv"
	"strings"
)

// delivery is what the reply subject of a message says.
type delivery struct {
	sequences
	time    int64 // when it was stored, Unix nanoseconds
	pending uint64
}

// parseReply reads the reply subject of a delivery (ADR-15):
//
//	$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<the same five>[.<random>]
func parseReply(reply string) (d delivery, ok bool) {
	const prefix = "$JS.ACK."
	if !strings.HasPrefix(reply, prefix) {
		return d, false
	}
	skip := 2
	if dots := strings.Count(reply, "."); dots >= 10 {
		skip = 4
	} else if dots != 8 {
		return d, false
	}
	rest := reply[len(prefix):]
	var numbers [5]uint64
	for i := range skip + len(numbers) {
		token, tail, _ := strings.Cut(rest, ".")
		rest = tail
		if i < skip {
			continue
		}
		n, err := strconv.ParseUint(token, 10, 64)
		if err != nil {
			return d, false
		}
		numbers[i-skip] = n
	}
	d = delivery{sequences: sequences{Stream: numbers[1], Consumer: numbers[2]}, time: int64(numbers[3]), pending: numbers[4]}
	return d, d.Stream > 0 && d.Consumer > 0
}

// ackForm is how the durable's reply subjects look: what stands before and after their five numbers.
type ackForm struct{ before, after string }

// read is parseReply for what most replies look like: as the first one did.
func (f *ackForm) read(reply string) (d delivery, ok bool) {
	rest, ok := strings.CutPrefix(reply, f.before)
	if !ok || f.before == "" || f.after != "" {
		return parseReply(reply)
	}
	var numbers [5]uint64
	i := 0
	for n := range numbers {
		start, v := i, uint64(0)
		for ; i < len(rest) && rest[i]-'0' <= 9; i++ {
			v = v*10 + uint64(rest[i]-'0')
		}
		numbers[n] = v
		last := n == len(numbers)-1
		if i == start || i-start > 19 || last != (i == len(rest)) || !last && rest[i] != '.' {
			return parseReply(reply)
		}
		i++
	}
	d = delivery{sequences: sequences{Stream: numbers[1], Consumer: numbers[2]}, time: int64(numbers[3]), pending: numbers[4]}
	return d, d.Stream > 0 && d.Consumer > 0
}

// ackFormOf reads the form off a reply subject that parseReply has accepted.
func ackFormOf(reply string) ackForm {
	dots, cut := strings.Count(reply, "."), 4
	if dots >= 10 {
		cut = 6
	}
	end := 0
	for range cut {
		end += strings.IndexByte(reply[end:], '.') + 1
	}
	form := ackForm{before: strings.Clone(reply[:end])} // the reply is of a block
	if dots == 11 {
		form.after = strings.Clone(reply[strings.LastIndexByte(reply, '.'):])
	}
	return form
}

// subject is where a delivery is acknowledged. The server looks at the sequences only.
func (f ackForm) subject(at sequences) string {
	b := make([]byte, 0, 128)
	b = append(b, f.before...)
	b = append(b, "1."...)
	b = strconv.AppendUint(b, at.Stream, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, at.Consumer, 10)
	b = append(b, ".0.0"...)
	return string(append(b, f.after...))
}
