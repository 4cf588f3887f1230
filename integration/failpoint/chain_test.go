package failpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// window is a chain's, in messages, and small how the configuration writes it.
const (
	window = 40
	small  = "{max_messages: 40, max_bytes: 1MiB, size: static}"
)

// upstream is where the messages of a chain are read from.
type upstream interface {
	source() string // of the configuration
	log(ctx context.Context, run string) ([]truth.Entry, error)
	// done returns which messages upstream need not deliver again.
	done(ctx context.Context) (func(*truth.Entry) bool, error)
	backwards() []string // commits that went back
	// settle returns when what a dead process had sent is handled.
	settle(ctx context.Context) error
}

// downstream is where they arrive.
type downstream interface {
	sink() string // of the configuration
	log(ctx context.Context, run string) ([]truth.Entry, error)
	settle(ctx context.Context) error
	// cutAfter lets n more bytes of others in, and then calls do and lets none in of that connection.
	cutAfter(n int64, do func())
}

// chain kills the daemon again and again over one load and looks, after each life, at what that life
// has done.
type chain struct {
	up        upstream
	down      downstream
	load      *truth.Load
	fields    []truth.Field // that have to be the same at both ends
	daemon    *daemon
	source    map[int64]*truth.Entry // by id
	ends      map[int32]int64        // of the sink, before the present life
	seen      map[int64]bool         // ids in the sink
	doubled   int64                  // copies that lives have added
	mayDouble bool                   // in one life, by the guarantee
	findings  []string
	lives     []string // for people
}

// feeder is an upstream that keeps nothing for a daemon that is away.
type feeder interface {
	feed(ctx context.Context) error
}

// filler is an upstream to which messages [from, to) of a load can be added.
type filler interface {
	fill(ctx context.Context, load *truth.Load, from, to int64) error
}

// configuration is the daemon's, to which more keys of its route can be added.
func configuration(up upstream, down downstream, window string) string {
	return fmt.Sprintf(`
admin: {listen: "off"}
log: {level: debug}
routes:
  chain:
    source: %s
    sink: %s
    window: %s
    retry: {initial: 10ms, max: 100ms}
    accept_loss: [core_source]
`, up.source(), down.sink(), window)
}

func newChain(ctx context.Context, t testing.TB, program string, up upstream, down downstream, load *truth.Load, fields ...truth.Field) (*chain, error) {
	t.Helper()
	c := &chain{
		up: up, down: down, load: load, fields: fields, daemon: newDaemon(t, program, configuration(up, down, small)),
		ends: map[int32]int64{}, seen: map[int64]bool{},
	}
	return c, c.read(ctx)
}

// read reads the source.
func (c *chain) read(ctx context.Context) error {
	log, err := c.up.log(ctx, c.load.Run)
	c.source = make(map[int64]*truth.Entry, len(log))
	for i := range log {
		c.source[log[i].ID] = &log[i]
	}
	return err
}

func (c *chain) find(who, format string, args ...any) {
	c.findings = append(c.findings, who+": "+fmt.Sprintf(format, args...))
}

// life is one life of the daemon.
type life struct {
	*chain
	name     string
	plan     Plan
	before   func(*truth.Entry) bool // what was committed when it began
	after    func(*truth.Entry) bool // and when it ended
	appended []*truth.Entry          // to the sink
	journal  []Passage
}

// kill starts the daemon with a plan and waits until that has killed it.
func (c *chain) kill(ctx context.Context, plan Plan) error {
	l, err := c.begin(ctx, plan.String(), plan)
	if err != nil {
		return err
	}
	select {
	case <-c.daemon.Exited():
	case <-ctx.Done():
		return fmt.Errorf("%s: never passed", l.name)
	}
	if code := c.daemon.ExitCode(); code != -1 {
		return fmt.Errorf("%s: exit code %d instead of a kill", l.name, code)
	}
	return l.end(ctx)
}

// cut starts the daemon and kills it when the sink has got n bytes of it.
func (c *chain) cut(ctx context.Context, n int64) error {
	c.down.cutAfter(n, func() { _ = syscall.Kill(c.daemon.Pid(), syscall.SIGKILL) })
	l, err := c.begin(ctx, fmt.Sprintf("after %d bytes", n), Plan{})
	if err != nil {
		return err
	}
	select {
	case <-c.daemon.Exited():
	case <-ctx.Done():
		return fmt.Errorf("%s: that many never came", l.name)
	}
	return l.end(ctx)
}

// finish lets a last life do the rest and compares both ends.
func (c *chain) finish(ctx context.Context) error {
	l, err := c.begin(ctx, "to the end", Plan{})
	if err != nil {
		return err
	}
	return c.complete(ctx, l)
}

// complete waits until everything is committed, ends the daemon softly, and compares both ends.
func (c *chain) complete(ctx context.Context, l *life) error {
	err := c.daemon.await(ctx, func() (bool, error) {
		done, err := c.up.done(ctx)
		if err != nil {
			return false, err
		}
		for _, e := range c.source {
			if !done(e) {
				return false, nil
			}
		}
		return true, nil
	})
	if err == nil {
		err = c.daemon.Signal(syscall.SIGTERM)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if code := c.daemon.ExitCode(); code != 0 {
		c.find(l.name, "exit code %d after SIGTERM", code)
	}
	if err := l.end(ctx); err != nil {
		return err
	}
	return c.compare(ctx)
}

func (c *chain) compare(ctx context.Context) error {
	source, err := c.up.log(ctx, c.load.Run)
	if err != nil {
		return err
	}
	sink, err := c.down.log(ctx, c.load.Run)
	if err != nil {
		return err
	}
	report, err := truth.Compare(source, sink, c.fields...)
	if err != nil {
		return err
	}
	if !report.Whole() || report.Doubled != c.doubled {
		c.find("both ends", "%v, and the lives have written %d again", report, c.doubled)
	}
	for _, back := range c.up.backwards() {
		c.find("commits", "%s", back)
	}
	summary, _, _ := strings.Cut(report.String(), "\n")
	c.lives = append(c.lives, summary)
	return nil
}

func (c *chain) begin(ctx context.Context, name string, plan Plan) (*life, error) {
	l := &life{chain: c, name: name, plan: plan}
	var err error
	if l.before, err = c.up.done(ctx); err != nil {
		return nil, err
	}
	if err := c.daemon.start(plan); err != nil {
		return nil, err
	}
	if err := c.daemon.Start(); err != nil {
		return nil, err
	}
	if f, ok := c.up.(feeder); ok {
		if err := f.feed(ctx); err != nil {
			return nil, err
		}
		return l, c.read(ctx)
	}
	return l, nil
}

// end looks at a life whose process has ended.
func (l *life) end(ctx context.Context) error {
	if err := errors.Join(l.up.settle(ctx), l.down.settle(ctx)); err != nil {
		return fmt.Errorf("%s: settle: %w", l.name, err)
	}
	all, err := l.down.log(ctx, l.load.Run)
	if err != nil {
		return err
	}
	end := map[int32]int64{}
	for i := range all {
		e := &all[i]
		if e.Offset >= l.ends[e.Partition] {
			l.appended = append(l.appended, e)
			end[e.Partition] = e.Offset + 1
		}
	}
	for p, n := range end {
		l.ends[p] = n
	}
	if l.after, err = l.up.done(ctx); err != nil {
		return err
	}
	if l.journal, err = ReadJournal(l.daemon.journal); err != nil {
		return err
	}
	again := l.check()
	l.lives = append(l.lives, fmt.Sprintf("%-20s %4d written, of which %3d again", l.name, len(l.appended), again))
	return nil
}

// lane is an order that a life has to keep.
type lane struct{ source, sink int32 }

// check says what is wrong with a life, and returns how many messages it wrote that the sink had. A life
// writes each message that it commits, none that was committed before it, none twice, and each lane in
// order. What it wrote and did not commit is what it leaves to be written again, and is bounded.
func (l *life) check() (again int) {
	mine := map[int64]bool{}
	last := map[lane]int64{}
	for _, e := range l.appended {
		from := l.source[e.ID]
		if from == nil {
			l.find(l.name, "phantom at sink %d@%d", e.Partition, e.Offset)
			continue
		}
		where := fmt.Sprintf("source %d@%d", from.Partition, from.Offset)
		if l.before(from) {
			l.find(l.name, "%s was committed, and is written again", where)
		}
		if mine[e.ID] {
			again++
			if !l.mayDouble {
				l.find(l.name, "%s is written twice in one life", where)
			}
			continue
		}
		k := lane{from.Partition, e.Partition}
		if before, ok := last[k]; ok && from.Offset <= before {
			l.find(l.name, "%s stands behind %d", where, before)
		}
		last[k] = from.Offset
		mine[e.ID] = true
		if l.chain.seen[e.ID] {
			again++
		}
		l.chain.seen[e.ID] = true
	}
	l.chain.doubled += int64(again)
	open := 0
	for id, e := range l.source {
		switch {
		case l.before(e) && !l.after(e):
			l.find(l.name, "source %d@%d was committed and is not any more", e.Partition, e.Offset)
		case !l.before(e) && l.after(e) && !mine[id]:
			l.find(l.name, "source %d@%d is committed and was not written", e.Partition, e.Offset)
		case mine[id] && !l.after(e):
			open++
		}
	}
	l.checkJournal(mine)
	// What is in flight, and four windows that may be acknowledged and not committed (bridge/doc.go).
	if open > 5*window {
		l.find(l.name, "%d messages will be written again, more than 5 windows", open)
	}
	if l.plan.Point != "" {
		l.checkPoint(mine)
	}
	return again
}

// checkJournal compares what connectors said with the truth: a Write that returned is in the sink, a
// Commit that returned is upstream.
func (l *life) checkJournal(written map[int64]bool) {
	for i, p := range l.journal {
		for _, id := range p.IDs {
			e := l.source[id]
			switch {
			case e == nil:
				l.find(l.name, "passage %d, %s: message %d is none of the source's", i, p.Point, id)
			case p.Point == WriteDone && !written[id]:
				l.find(l.name, "passage %d, %s: source %d@%d is not in the sink", i, p.Point, e.Partition, e.Offset)
			case p.Point == CommitDone && !l.after(e):
				l.find(l.name, "passage %d, %s: source %d@%d is not committed", i, p.Point, e.Partition, e.Offset)
			}
		}
	}
}

// checkPoint compares what the point says of the messages that passed it last with the truth.
func (l *life) checkPoint(written map[int64]bool) {
	i := slices.IndexFunc(l.journal, func(p Passage) bool { return p.Killed })
	if i < 0 || l.journal[i].Point != l.plan.Point || len(l.journal[i].IDs) == 0 {
		l.find(l.name, "the point has not bitten: %d passages, of which %d is the last", len(l.journal), i)
		return
	}
	p := &l.journal[i]
	if l.plan.Passage == 1 && (p.Point == Fetched || p.Point == WriteBegun) && len(written) > 0 {
		l.find(l.name, "%d messages are written before the first Write", len(written))
	}
	for _, id := range p.Rest {
		if written[id] {
			l.find(l.name, "message %d was not given to the sink, and is there", id)
		}
	}
	sunk := p.Point != Fetched && p.Point != WriteBegun
	for _, id := range p.IDs {
		e := l.source[id]
		switch {
		case e == nil:
			l.find(l.name, "message %d is none of the source's", id)
		case written[id] != sunk:
			l.find(l.name, "source %d@%d is in the sink: %v, want %v", e.Partition, e.Offset, written[id], sunk)
		case l.after(e) != (p.Point == CommitDone):
			l.find(l.name, "source %d@%d is committed: %v", e.Partition, e.Offset, l.after(e))
		}
	}
}

// report shows what the lives have done, and fails the test if anything is wrong.
func (c *chain) report(t *testing.T) {
	t.Helper()
	t.Log(strings.Join(c.lives, "\n  "))
	for _, f := range c.findings {
		t.Error(f)
	}
}
