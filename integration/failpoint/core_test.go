package failpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// requests is a subject without a stream whose publishers want an answer, and ask again in the next life
// of the daemon if they got none. What is committed is what was answered.
type requests struct {
	*natsServer
	load *truth.Load
	ack  string // ack_mode

	mu       sync.Mutex
	next     int64 // messages published so far
	answered map[int64]bool
}

// perLife is how many messages are published in one life of the daemon.
const perLife = 400

func newRequests(t testing.TB, load *truth.Load, ackMode string) (*requests, error) {
	t.Helper()
	e := &requests{natsServer: newNATS(t), load: load, ack: ackMode, answered: map[int64]bool{}}
	_, err := e.watch.Subscribe("answers.*", func(m *nats.Msg) {
		id, err := strconv.ParseInt(strings.TrimPrefix(m.Subject, "answers."), 10, 64)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.answered[id] = err == nil && string(m.Data) == "+ACK"
	})
	return e, err
}

func (e *requests) source() string {
	return fmt.Sprintf(`{nats: {servers: ["%s"], subjects: ["from.>"], ack_mode: %s}}`, e.ClientURL(), e.ack)
}

// feed publishes once the daemon listens: what was not answered, and then new messages.
func (e *requests) feed(ctx context.Context) error {
	err := wait(ctx, func() (bool, error) { return e.GlobalAccount().Interest("from.0") > 0, nil })
	if err != nil {
		return err
	}
	var ids []int64
	e.mu.Lock()
	for id := int64(0); len(ids) < perLife; id++ {
		if e.ack == "reply" && !e.answered[id] || id >= e.next {
			ids = append(ids, id)
		}
	}
	e.next = ids[len(ids)-1] + 1
	e.mu.Unlock()
	for _, id := range ids {
		if err := e.watch.PublishMsg(e.message(id)); err != nil {
			return err
		}
	}
	return e.watch.Flush()
}

func (e *requests) message(id int64) *nats.Msg {
	m := e.load.Message(id)
	msg := &nats.Msg{Subject: fmt.Sprintf("from.%d", id%int64(e.load.Subjects)), Data: m.Value, Header: nats.Header{}}
	if e.ack == "reply" {
		msg.Reply = fmt.Sprintf("answers.%d", id)
	}
	for _, h := range m.Headers {
		msg.Header.Add(h.Name, string(h.Value))
	}
	return msg
}

// log is what has been published, in order.
func (e *requests) log(_ context.Context, run string) (log []truth.Entry, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.next {
		msg := e.message(id)
		m, err := truth.Decode(msg.Subject, msg.Header, msg.Data, time.Time{})
		if err != nil {
			return nil, err
		}
		log = append(log, truth.NewEntry(run, m, 0, id))
	}
	return log, nil
}

func (e *requests) done(context.Context) (func(*truth.Entry) bool, error) {
	if err := e.watch.Flush(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	answered := maps.Clone(e.answered)
	return func(m *truth.Entry) bool { return answered[m.ID] }, nil
}

func (e *requests) backwards() []string { return nil }

// Without answers a message that was published is given to the daemon once. Killed, it loses what it had
// not written, and nothing else; it doubles and reorders nothing. Ended softly it loses what it had not
// fetched, and counts it.
func TestCrashAtMostOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	load := &truth.Load{Run: "r", Size: 100, Plain: true, Subjects: 10}
	up, err := newRequests(t, load, "none")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{T: t, ctx: ctx, up: up, down: newKafkaEnd(t, "to", 1), load: load}
	l.daemon = newDaemon(t, "", configuration(up, l.down, small))
	for _, plan := range plans() {
		l.live(plan)
	}
	for range 3 {
		if written, lost := l.live(Plan{}), l.dropped(); written+lost != perLife {
			t.Errorf("ended softly, %d of %d are written and %d are counted as lost", written, perLife, lost)
		}
	}
}

// lossy is a chain whose messages are published once.
type lossy struct {
	*testing.T
	ctx       context.Context
	up        *requests
	down      *kafkaEnd
	load      *truth.Load
	daemon    *daemon
	published int64 // before the present life
}

// live starts the daemon, publishes, and lets the plan kill it, or ends it softly if there is none. It
// returns how many of the messages are written.
func (l *lossy) live(plan Plan) int {
	l.Helper()
	must(l, l.daemon.start(plan))
	must(l, l.daemon.Start())
	must(l, l.up.feed(l.ctx))
	if plan == (Plan{}) {
		must(l, l.daemon.Signal(syscall.SIGTERM))
	}
	select {
	case <-l.daemon.Exited():
	case <-l.ctx.Done():
		l.Fatalf("%v: never passed", plan)
	}
	// The server takes a moment to notice; what the next life is to get must not go to this one.
	must(l, wait(l.ctx, func() (bool, error) { return l.up.GlobalAccount().Interest("from.0") == 0, nil }))
	must(l, l.down.settle(l.ctx))
	sink, err := l.down.log(l.ctx, l.load.Run)
	must(l, err)
	mine := slices.DeleteFunc(sink, func(e truth.Entry) bool { return e.ID < l.published })
	for i, e := range mine {
		if want := l.published + int64(i); e.ID != want {
			l.Errorf("%v: message %d stands where %d has to", plan, e.ID, want)
			break
		}
	}
	l.Logf("%-20v %3d of %d written", plan, len(mine), perLife)
	passages, err := ReadJournal(l.daemon.journal)
	must(l, err)
	for _, p := range passages {
		known := p.Point == WriteDone || p.Point == WriteHalf && p.Killed
		if known && p.IDs[len(p.IDs)-1] >= l.published+int64(len(mine)) {
			l.Errorf("%v: the sink acknowledged message %d and has it not", plan, p.IDs[len(p.IDs)-1])
		}
	}
	l.published += perLife
	return len(mine)
}

// dropped returns how many messages the log of the latest life says are lost.
func (l *lossy) dropped() (n int) {
	l.Helper()
	for line := range strings.Lines(l.daemon.Tail(50)) {
		var said struct {
			Message  string
			Messages int
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			continue
		}
		switch said.Message {
		case "route starts":
			n = 0
		case "messages dropped":
			n += said.Messages
		}
	}
	return n
}
