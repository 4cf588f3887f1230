package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	// pullSize is how much one pull asks for; two are out.
	pullSize = 4096
	// ackEvery is after how many messages an acknowledgement says that all so far are done.
	ackEvery = 1024
)

// pull reads a stream through a durable with AckAll, and looks at nothing but the subjects.
func pull(ctx context.Context, j *job) (Result, error) {
	if err := j.makeDurable(ctx); err != nil {
		return Result{}, err
	}
	w, err := dialNATS(j.nats)
	if err != nil {
		return Result{}, err
	}
	defer w.Close()
	inbox := "_INBOX." + nuid.Next()
	ask := []byte("PUB $JS.API.CONSUMER.MSG.NEXT." + j.stream + "." + j.name + " " + inbox + " ")
	body := `{"batch":` + strconv.Itoa(pullSize) + `,"expires":30000000000}`
	ask = fmt.Appendf(ask, "%d\r\n%s\r\n", len(body), body)
	if err := w.say("SUB " + inbox + " 1\r\n"); err != nil {
		return Result{}, err
	}
	for range 2 {
		if _, err := w.Write(ask); err != nil {
			return Result{}, err
		}
	}
	var watch stopwatch
	var out []byte
	for got := int64(0); got < j.messages; {
		_, reply, data, err := w.next()
		switch {
		case err != nil:
			return Result{}, err
		case !bytes.HasPrefix(reply, []byte("$JS.ACK.")) && bytes.Contains(data, []byte("Batch Completed")):
			continue
		case !bytes.HasPrefix(reply, []byte("$JS.ACK.")):
			return Result{}, fmt.Errorf("the pull ended: %.100s", data)
		}
		got++
		out = out[:0]
		if got%ackEvery == 0 || got == j.messages {
			out = fmt.Appendf(out, "PUB %s 4\r\n+ACK\r\n", reply)
			watch.lap(got)
		}
		if got%pullSize == 0 {
			out = append(out, ask...)
		}
		if len(out) > 0 {
			if _, err := w.Write(out); err != nil {
				return Result{}, err
			}
		}
	}
	return watch.result(j.messages), nil
}

func (j *job) makeDurable(ctx context.Context) error {
	conn, err := nats.Connect(j.nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	_, err = js.CreateOrUpdateConsumer(ctx, j.stream, jetstream.ConsumerConfig{
		Durable: j.name, AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1,
	})
	return err
}
