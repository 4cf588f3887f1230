package nats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/sluice-bridge/sluice/connectors"
)

// pubAck is what a server says of a stored message or batch, or why it is not stored.
type pubAck struct {
	Type   string    `json:"type"` // of a fast batch: ack, gap or err
	Stream string    `json:"stream"`
	Seq    uint64    `json:"seq"`
	Count  int       `json:"count"`
	Error  *apiError `json:"error"`
}

// Operations of a fast batch, as the reply subject of its messages says them.
const (
	opStart  = '0'
	opAppend = '1'
	opCommit = '2'
	opEnd    = '3' // commit, and this is no message
	opPing   = '4'
)

// fastFlow is how many messages of a batch the server acknowledges at a time, at most.
const fastFlow = "500"

// appendFastReply appends the reply subject of message seq, counted from 1, of a fast batch:
// <inbox>.<batch>.<flow>.<gap mode>.<seq>.<operation>.$FI
func appendFastReply(dst []byte, inbox, token string, seq int, op byte) []byte {
	dst = append(dst, inbox...)
	dst = append(dst, token...)
	dst = append(dst, "."+fastFlow+".fail."...)
	dst = strconv.AppendInt(dst, int64(seq), 10)
	return append(dst, '.', op, '.', '$', 'F', 'I')
}

// parseFastReply reads what appendFastReply wrote behind the token.
func parseFastReply(rest string) (seq int, op byte, ok bool) {
	const before, behind = fastFlow + ".fail.", ".$FI"
	if len(rest) < len(before)+len("1.0")+len(behind) {
		return 0, 0, false
	}
	middle := rest[len(before) : len(rest)-len(behind)] // <seq>.<op>
	seq, err := strconv.Atoi(middle[:len(middle)-2])
	return seq, middle[len(middle)-1], err == nil && seq > 0
}

// answerFast takes an answer to a message of a fast batch.
func (f *flight) answerFast(rest, status string, data []byte) {
	seq, op, ok := parseFastReply(rest)
	if !ok {
		return
	}
	var a pubAck
	if status == "" {
		if err := json.Unmarshal(data, &a); err != nil {
			return // not from a server; the probe asks again
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.ring()
	f.answers++
	if op == opPing {
		f.probed = true
	}
	switch {
	case status != "":
		f.refuse(seq, op, statusError(status))
	case a.Type == "ack":
		f.stored = max(f.stored, int(a.Seq))
	case a.Type == "gap": // the batch ends here; its acknowledgement follows
	case a.Error != nil && a.Error.ErrCode == errCodeUnknownBatch:
		f.unknown = true
	case a.Type == "err":
		f.refuse(int(a.Seq), op, a.Error)
	case a.Error != nil:
		f.refuse(seq, op, a.Error)
	case a.Stream != f.stream:
		f.settled, f.astray = true, a.Stream
	default:
		f.settled, f.stored, f.highest = true, a.Count, a.Seq
		if f.failedAt >= 0 {
			f.stored = min(f.stored, f.failedAt)
		}
	}
}

// refuse notes that message seq of a fast batch is not stored. A batch whose first message is
// refused never came to be, so that nothing of it is stored; else its acknowledgement follows.
func (f *flight) refuse(seq int, op byte, err error) {
	if op == opPing || op == opEnd {
		f.unknown, f.err = true, err
		return
	}
	if f.failedAt < 0 || seq-1 < f.failedAt {
		f.failedAt, f.err = seq-1, err
	}
	if seq == 1 {
		f.settled, f.stored = true, 0
	}
}

// answerOne takes the answer to one publish: rest is its number, or "p" and that of a probe.
func (f *flight) answerOne(rest, status string, data []byte) {
	number, probe := strings.CutPrefix(rest, "p")
	i, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	if probe {
		f.answerProbe(i, status, data)
		return
	}
	f.order.note(f)
	seq, plain := f.quickAck(data)
	var a *pubAck // nil if it is the usual one, or a status
	if !plain && status == "" {
		if a = readPubAck(data); a == nil {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i < 0 || i >= len(f.states) || f.states[i] != stateUnknown {
		return
	}
	f.answers++
	f.left--
	f.states[i] = stateStored
	switch {
	case plain:
		f.highest = max(f.highest, seq)
	case status != "":
		f.refuseOne(i, statusError(status))
	case a.Error != nil:
		f.refuseOne(i, a.Error)
	case a.Stream != f.stream:
		f.astray = a.Stream
	default:
		f.highest = max(f.highest, a.Seq)
	}
	if f.left == 0 {
		f.settled = true
		f.ring()
	}
}

func (f *flight) refuseOne(i int, err error) {
	f.states[i] = stateRefused
	if f.refused == nil {
		f.refused = map[int]error{}
	}
	f.refused[i] = err
}

// readPubAck returns nil where data is no acknowledgement. What it returns is on the heap, so it is not for the
// usual ones.
func readPubAck(data []byte) *pubAck {
	a := &pubAck{}
	if json.Unmarshal(data, a) != nil {
		return nil
	}
	return a
}

// quickAck reads the usual acknowledgement without a JSON decoder: {"stream":"X","seq":1}, with
// "domain":"Y" between where the server has one.
func (f *flight) quickAck(data []byte) (seq uint64, ok bool) {
	const before, domain, number = `{"stream":"`, `,"domain":"`, `,"seq":`
	rest, ok := bytes.CutPrefix(data, []byte(before))
	if !ok || len(rest) <= len(f.stream) || string(rest[:len(f.stream)]) != f.stream || rest[len(f.stream)] != '"' {
		return 0, false
	}
	rest = rest[len(f.stream)+1:]
	if named, ok := bytes.CutPrefix(rest, []byte(domain)); ok {
		end := bytes.IndexByte(named, '"')
		if end < 0 {
			return 0, false
		}
		rest = named[end+1:]
	}
	rest, ok = bytes.CutPrefix(rest, []byte(number))
	if !ok || len(rest) < 2 || len(rest) > 20 || rest[len(rest)-1] != '}' {
		return 0, false
	}
	for _, c := range rest[:len(rest)-1] {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(c-'0')
	}
	return seq, true
}

// answerProbe takes the stream's state while single publishes are out. A stream takes what comes over
// a connection in order. So if the flight gets no answer from one probe to the next, and either the
// stream stands still or it has answered what was sent behind the flight, the answers that are missing
// got lost, as at a change of the stream's leader.
//
// A probe that was sent before the answer to another was heard tells nothing new: a server that was frozen
// answers all of them at once, and may do so before it stores what stands before them.
func (f *flight) answerProbe(number int, status string, data []byte) {
	var info sinkStream
	var err error
	if status == "" {
		err = decodeAPI(data, &info)
	}
	overtaken := f.order.overtaken(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if number <= f.told {
		return
	}
	var refused *apiError
	switch {
	case errors.As(err, &refused), err == nil && status == "" && !info.Created.Equal(f.created):
		f.stagnant = stagnantProbes // there is no such stream any more
	case err != nil:
		return // not from a server
	case f.answers == f.seen && (overtaken || info.State.LastSeq == f.lastSeq):
		f.stagnant++
	default:
		f.stagnant = 0
	}
	f.lastSeq, f.seen, f.told = info.State.LastSeq, f.answers, f.probes
	f.ring()
}

// sendOrder knows which flights were sent behind which others.
type sendOrder struct {
	clock    atomic.Uint64
	answered atomic.Uint64 // when the latest flight began of which a message was answered
}

// overtaken reports whether something was answered that was sent behind all of f.
func (o *sendOrder) overtaken(f *flight) bool { return o.answered.Load() > f.sentAt.Load() }

// note is called for each answer to a message of f.
func (o *sendOrder) note(f *flight) {
	for {
		have := o.answered.Load()
		if f.begunAt <= have || o.answered.CompareAndSwap(have, f.begunAt) {
			return
		}
	}
}

// The codes of refused messages (nats-server errors.json).
const (
	errCodeMessageTooLarge = 10054
	errCodeStoreFailed     = 10077 // "maximum messages exceeded" and the like, with discard: new
	errCodeHeaderTooLarge  = 10097
	errCodeTooManyRequests = 10167
	errCodeBatchDisabled   = 10205
	errCodeUnknownBatch    = 10208
	errCodeTooManyInflight = 10211
)

// errNoStream replaces "no responders": no stream listens, or its leader is being elected.
var errNoStream = errors.New("no stream takes this subject at the moment")

// refusal marks as Permanent what the same message will always meet.
func refusal(err error) error {
	if isAPIError(err, errCodeMessageTooLarge) || isAPIError(err, errCodeHeaderTooLarge) {
		return connectors.Permanent(err)
	}
	return err
}

// slowDown reports whether the server refuses because it is asked too much at once. A stream that is full is
// none of that: it refuses until somebody makes room.
func slowDown(err error) bool {
	return isAPIError(err, errCodeTooManyRequests) || isAPIError(err, errCodeTooManyInflight)
}

func statusError(status string) error {
	if status == "503" {
		return errNoStream
	}
	return fmt.Errorf("the server answers with status %q", status)
}
