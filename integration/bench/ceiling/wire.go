package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
)

// wire is a connection to a NATS server that speaks the protocol itself.
type wire struct {
	net.Conn
	in *bufio.Reader
}

func dialNATS(address string) (*wire, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	w := &wire{c, bufio.NewReaderSize(c, 256<<10)}
	if _, err := w.in.ReadSlice('\n'); err != nil { // INFO
		return nil, err
	}
	return w, w.say("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"go\",\"version\":\"1\",\"protocol\":1}\r\nPING\r\n")
}

func (w *wire) say(text string) error {
	_, err := w.Write([]byte(text))
	return err
}

// next returns the subject, the reply subject and the data of the next message, all valid until the next
// call. Headers are part of the data.
func (w *wire) next() (subject, reply, data []byte, err error) {
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return nil, nil, nil, err
		}
		switch {
		case bytes.HasPrefix(line, []byte("MSG ")), bytes.HasPrefix(line, []byte("HMSG ")):
			return w.message(line)
		case bytes.HasPrefix(line, []byte("PING")):
			if err := w.say("PONG\r\n"); err != nil {
				return nil, nil, nil, err
			}
		case bytes.HasPrefix(line, []byte("-ERR")):
			return nil, nil, nil, fmt.Errorf("nats: %s", line)
		}
	}
}

// message reads what follows the line "[H]MSG subject sid [reply] [header size] size".
func (w *wire) message(line []byte) (subject, reply, data []byte, err error) {
	most := 4
	if line[0] == 'H' {
		most = 5
	}
	fields := bytes.Fields(line)
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil {
		return nil, nil, nil, err
	}
	subject = bytes.Clone(fields[1]) // the line is gone once more is read
	if len(fields) > most {
		reply = bytes.Clone(fields[3])
	}
	if data, err = w.in.Peek(min(size+2, w.in.Size())); err != nil {
		return nil, nil, nil, err
	}
	// What was peeked at stays in place until the next read.
	if _, err := w.in.Discard(size + 2); err != nil {
		return nil, nil, nil, err
	}
	return subject, reply, data[:min(size, len(data))], nil
}
