package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"

	"github.com/sluice-bridge/sluice/integration/bench/load"
)

const (
	// window is how much may be sent and not acknowledged.
	window = 8192
	// flush is when frames leave.
	flush = 64 << 10
)

// publisher sends messages to a stream: one fast-ingest batch (ADR-50), or single publishes whose
// acknowledgements all come to one subscription.
type publisher struct {
	*wire
	fast  bool
	inbox string
	acked atomic.Int64
	wake  chan struct{} // capacity 1: acked has grown
	err   error         // set before wake is closed
}

// publish returns when everything is acknowledged. Rate and time are measured at the stream.
func publish(j *job, fast bool) (Result, error) {
	w, err := dialNATS(j.nats)
	if err != nil {
		return Result{}, err
	}
	defer w.Close()
	p := &publisher{wire: w, fast: fast, inbox: "_INBOX." + nuid.Next() + ".", wake: make(chan struct{}, 1)}
	if err := w.say("SUB " + p.inbox + "> 1\r\n"); err != nil {
		return Result{}, err
	}
	go p.listen()
	messages, token := load.New(j.size), nuid.Next()
	var buf, block, reply []byte
	for n := range j.messages {
		for n-p.acked.Load() >= window {
			if _, err := w.Write(buf); err != nil {
				return Result{}, err
			}
			buf = buf[:0]
			if _, ok := <-p.wake; !ok {
				return Result{}, p.err
			}
		}
		block = headers(block[:0], n)
		reply = p.reply(reply[:0], token, n, j.messages)
		buf = frame(buf, j.topic, reply, block, messages.Value(n))
		if len(buf) < flush && n < j.messages-1 {
			continue
		}
		if _, err := w.Write(buf); err != nil {
			return Result{}, err
		}
		buf = buf[:0]
	}
	for p.acked.Load() < j.messages {
		if _, ok := <-p.wake; !ok {
			return Result{}, p.err
		}
	}
	return Result{Messages: j.messages, CPU: used()}, nil
}

// reply appends the reply subject of message n.
func (p *publisher) reply(dst []byte, token string, n, all int64) []byte {
	dst = append(dst, p.inbox...)
	if !p.fast {
		return append(dst, 'a')
	}
	op := byte('1')
	switch n {
	case all - 1:
		op = '2'
	case 0:
		op = '0'
	}
	dst = append(append(dst, token...), ".500.fail."...)
	dst = strconv.AppendInt(dst, n+1, 10)
	return append(dst, '.', op, '.', '$', 'F', 'I')
}

// listen counts acknowledgements.
func (p *publisher) listen() {
	defer close(p.wake)
	for {
		_, _, data, err := p.next()
		if err != nil {
			p.err = err
			return
		}
		switch done, ok := number(data, `"count":`); {
		case bytes.Contains(data, []byte(`"error"`)):
			p.err = fmt.Errorf("the stream refuses: %s", data)
			return
		case !p.fast:
			p.acked.Add(1)
		case ok:
			p.acked.Store(done)
		default:
			if done, ok = number(data, `"seq":`); !ok {
				p.err = errors.New("an answer without a number: " + string(data))
				return
			}
			p.acked.Store(done)
		}
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// number returns the number behind name.
func number(data []byte, name string) (n int64, ok bool) {
	_, rest, ok := bytes.Cut(data, []byte(name))
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n, ok
}

// headers makes the block that Sluice writes for a message of Kafka.
func headers(dst []byte, n int64) []byte {
	dst = append(dst, "NATS/1.0\r\nSluice-Origin: kafka:c2x1aWNlLXRlc3RzLTAwMQ/topic/"...)
	dst = strconv.AppendInt(dst, int64(load.Partition(n, load.Partitions)), 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, n/load.Partitions, 10)
	dst = append(dst, ";hops=1\r\nSluice-Key: "...)
	dst = load.Key(dst, n)
	dst = append(dst, "\r\nSluice-Time: "...)
	dst = time.Unix(1_800_000_000, n%1000*int64(time.Millisecond)).UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, "\r\n"+load.Header+": "...)
	dst = load.ID(dst, n)
	return append(dst, "\r\n\r\n"...)
}

func frame(dst []byte, subject string, reply, block, value []byte) []byte {
	dst = append(append(dst, "HPUB "...), subject...)
	dst = append(append(dst, ' '), reply...)
	dst = strconv.AppendInt(append(dst, ' '), int64(len(block)), 10)
	dst = strconv.AppendInt(append(dst, ' '), int64(len(block)+len(value)), 10)
	dst = append(append(dst, '\r', '\n'), block...)
	return append(append(dst, value...), '\r', '\n')
}
