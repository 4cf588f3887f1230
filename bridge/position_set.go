package bridge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// PositionOrder is what an operator wants of a route's positions.
type PositionOrder struct {
	To        string // earliest, latest, sink, an offset, a time (RFC 3339), or so long ago, such as -2h
	Partition string // its name or its number; empty: all
	DryRun    bool   // only tell what would be done
	Skip      bool   // messages that were never delivered may be passed over
	By        Operator
}

// PositionMove is what is done to one partition.
type PositionMove struct {
	Partition string `json:"partition"`
	Known     bool   `json:"known"`             // false: there was no position, Before means nothing
	Before    int64  `json:"before"`            //
	After     int64  `json:"after"`             //
	Doubled   int64  `json:"doubled,omitempty"` // positions that are moved back over: at most so many messages come again
	Skipped   int64  `json:"skipped,omitempty"` // positions that are passed over and were never delivered
	Note      string `json:"note,omitempty"`
}

// SetPosition moves a route's positions and returns what it has done, or with DryRun what it would do. The
// route is drained, within the drain deadline, and its ends are closed; it goes on at the new position, also
// if it was halted. Nothing is changed where somebody else reads, or where messages that were never delivered
// would be passed over and Skip does not say so.
func (b *Bridge) SetPosition(ctx context.Context, route string, order PositionOrder) ([]PositionMove, error) {
	r, err := b.route(route)
	if err != nil {
		return nil, err
	}
	if order.DryRun {
		return r.plan(ctx, &order)
	}
	moves, err := r.setPosition(ctx, &order)
	before, after := describeMoves(moves)
	what := "position set --to " + order.To
	if order.Partition != "" {
		what += " --partition " + order.Partition
	}
	if order.Skip {
		what += " --skip"
	}
	r.audit(order.By, what, before, after, err)
	return moves, err
}

func (r *Route) setPosition(ctx context.Context, order *PositionOrder) (moves []PositionMove, err error) {
	// Looked at first, so that what is refused does not disturb the route.
	if _, err := r.plan(ctx, order); err != nil {
		return nil, err
	}
	err = r.operate(ctx, func(ctx context.Context) error {
		moves, err = r.move(ctx, order)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.giveUp.Store(nil)
	return moves, nil
}

// plan returns what an order would do now.
func (r *Route) plan(ctx context.Context, order *PositionOrder) ([]PositionMove, error) {
	l, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	return l.plan(ctx, order)
}

// move does what an order says. Nothing of the route runs.
func (r *Route) move(ctx context.Context, order *PositionOrder) ([]PositionMove, error) {
	l, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	moves, err := l.plan(ctx, order)
	if err != nil {
		return nil, err
	}
	next := map[string]int64{}
	for _, m := range moves {
		next[m.Partition] = m.After
	}
	return moves, l.positions.Set(ctx, next)
}

func (l *look) plan(ctx context.Context, order *PositionOrder) ([]PositionMove, error) {
	target, err := parseTarget(order.To, time.Now())
	if err != nil {
		return nil, err
	}
	parts, err := l.choose(order.Partition)
	if err != nil {
		return nil, err
	}
	if target.kind == toOffset && len(parts) > 1 {
		return nil, fmt.Errorf("an offset means another message in each of %d partitions: choose one with --partition, such as %s", len(parts), parts[0].Partition)
	}
	view, err := l.view(ctx, parts, target)
	if err != nil {
		return nil, err
	}
	moves := make([]PositionMove, len(parts))
	for i := range parts {
		if moves[i], err = l.planOne(ctx, &parts[i], target, view); err != nil {
			return nil, err
		}
		if m := &moves[i]; m.Skipped > 0 && !order.Skip && !order.DryRun {
			return nil, fmt.Errorf("%s: going to %d passes over %d positions from %d on that were never delivered, and loses for this sink what they hold; to do so add --skip",
				m.Partition, m.After, m.Skipped, m.After-m.Skipped)
		}
	}
	return moves, nil
}

// choose returns the partition called name, or whose number it is; empty: all of them.
func (l *look) choose(name string) ([]lookPart, error) {
	if name == "" {
		return l.parts, nil
	}
	var chosen []lookPart
	for i := range l.parts {
		switch p := &l.parts[i]; {
		case p.Partition == name:
			return l.parts[i : i+1], nil
		case strings.HasSuffix(p.Partition, "/"+name):
			chosen = append(chosen, *p)
		}
	}
	if len(chosen) != 1 {
		return nil, fmt.Errorf("%q is not one partition of the source, which has %s", name, l.names())
	}
	return chosen, nil
}

// view looks at what the sink holds of partitions, where that matters: nil where it does not, or cannot be
// known.
func (l *look) view(ctx context.Context, parts []lookPart, target target) (*sinkView, error) {
	r := l.r
	lost := slices.ContainsFunc(parts, func(p lookPart) bool { return !p.Known })
	switch why := r.unnoticed(); {
	case target.kind == toSink && why != "":
		return nil, fmt.Errorf("route %s: the sink does not tell where to go on: %s", r.cfg.Name, why)
	case target.kind != toSink && (!lost || why != ""):
		return nil, nil
	}
	sink, err := r.cfg.Sink.Log(ctx, r.env(&sinkHost{r}, r.cfg.Map))
	if err != nil {
		return nil, err
	}
	defer r.closeAside(ctx, sink)
	// A window that was made smaller since is not taken at its word.
	v := newSinkView((uncommittedWindows + 1) * max(r.cfg.Window.Messages, DefaultMaxMessages))
	for i := range parts {
		if p := &parts[i]; p.First < p.End {
			v.expect(p.origin)
		}
	}
	return v, v.look(ctx, sink, target.kind == toSink)
}

func (l *look) planOne(ctx context.Context, p *lookPart, target target, view *sinkView) (m PositionMove, err error) {
	m = PositionMove{Partition: p.Partition, Known: p.Known, Before: p.Committed}
	if m.After, m.Note, err = l.resolve(ctx, p, target, view); err != nil {
		return m, err
	}
	// Up to where messages are known to have been delivered.
	delivered := p.First
	switch {
	case p.Known:
		delivered = p.Committed
	case view.of(p).last < p.End: // else it is of another log
		delivered = view.of(p).last + 1
	}
	m.Doubled = max(0, delivered-max(p.First, m.After))
	if target.kind != toSink { // what the sink holds was delivered, whatever upstream knows of it
		m.Skipped = max(0, m.After-max(p.First, delivered))
	}
	return m, nil
}

// of returns what was seen of a partition.
func (v *sinkView) of(p *lookPart) *seenAtOrigin {
	if v != nil && v.seen[p.origin] != nil {
		return v.seen[p.origin]
	}
	return &seenAtOrigin{last: -1, settled: -1}
}

// resolve returns the position that a target means in a partition.
func (l *look) resolve(ctx context.Context, p *lookPart, target target, view *sinkView) (at int64, note string, err error) {
	switch target.kind {
	case toEarliest:
		return p.First, "", nil
	case toLatest:
		return p.End, "", nil
	case toTime:
		at, err = l.log.Find(ctx, p.Partition, target.time)
		return at, "", err
	case toSink:
		eval := l.r.cfg.Transform.Evaluator()
		of := &connectors.Batch{Partition: p.Partition, Origin: p.origin}
		point := resumePoint{
			source: l.log, open: view.open, held: view.of(p),
			at: connectors.Range{Partition: p.Partition, Origin: p.origin, First: p.First, End: p.End},
			passed: func(m *connectors.Message) bool {
				if l.r.cfg.WayBack != "" && connectors.FindOrigin(m.Headers) != nil {
					return true // it has come back from the sink
				}
				passes, err := eval.Passes(of, m)
				return err == nil && !passes
			},
		}
		return point.compute(ctx)
	}
	if target.offset < p.First || target.offset > p.End {
		return 0, "", fmt.Errorf("%s has no position %d: it holds [%d, %d)", p.Partition, target.offset, p.First, p.End)
	}
	return target.offset, "", nil
}

func (l *look) names() string {
	names := make([]string, len(l.parts))
	for i := range l.parts {
		names[i] = l.parts[i].Partition
	}
	return some(names)
}

// some joins the first of many texts.
func some(texts []string) string {
	const most = 12
	if left := len(texts) - most; left > 0 {
		texts = append(texts[:most:most], fmt.Sprintf("%d more", left))
	}
	return strings.Join(texts, ", ")
}

func describeMoves(moves []PositionMove) (before, after string) {
	var from, to []string
	for _, m := range moves {
		was := "none"
		if m.Known {
			was = strconv.FormatInt(m.Before, 10)
		}
		from = append(from, m.Partition+" "+was)
		to = append(to, fmt.Sprintf("%s %d", m.Partition, m.After))
	}
	return some(from), some(to)
}

// target is what PositionOrder.To means.
type target struct {
	kind   targetKind
	offset int64
	time   time.Time
}

type targetKind uint8

const (
	toOffset targetKind = iota
	toTime
	toEarliest
	toLatest
	toSink
)

func parseTarget(text string, now time.Time) (target, error) {
	switch text {
	case "earliest":
		return target{kind: toEarliest}, nil
	case "latest":
		return target{kind: toLatest}, nil
	case "sink":
		return target{kind: toSink}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return target{kind: toOffset, offset: n}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d < 0 {
		return target{kind: toTime, time: now.Add(d)}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return target{kind: toTime, time: t}, nil
	}
	return target{}, fmt.Errorf("%.60q is no position: want earliest, latest, sink, an offset, a time such as 2026-01-31T08:00:00Z, or so long ago, such as -2h", text)
}
