package main

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// verdict is what a route is judged by, beside the findings of the timeline.
type verdict struct {
	Route     string         `json:"route"`
	Source    int            `json:"source_messages"`
	Sink      int            `json:"sink_messages"`
	Letters   int            `json:"dead_letters"`
	Lost      int64          `json:"lost"`
	Doubled   int64          `json:"doubled"`
	Allowed   int64          `json:"may_double"`
	MostAKill int64          `json:"most_doubled_by_one_kill"`
	Phantom   int64          `json:"phantom"`
	Reordered int64          `json:"reordered"`
	Altered   int64          `json:"altered"`
	Gaps      int64          `json:"gap_messages"`
	Load      map[string]int `json:"load"` // messages by what the load knows of them
	Forgotten int64          `json:"source_forgot"`
	Peaks     peaks          `json:"peaks"`
	Findings  []string       `json:"examples,omitempty"`
	doubles   []doubled      // in the order of their time
}

// doubled is a copy beyond the first, and when it stood in the sink.
type doubled struct {
	at    float64
	entry *truth.Entry
}

// judge compares the ends of a route and looks at what its daemons said. It adds to the timeline what
// may not be.
func (r *route) judge(ctx context.Context) (*verdict, error) {
	source, sink, letters, err := r.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	v := &verdict{Route: r.name, Letters: len(letters), Load: map[string]int{}, Peaks: r.watch.peaks, Gaps: r.watch.gaps}
	counts := r.ledger.counts()
	v.Load["stored"], v.Load["unknown"], v.Load["aborted"] = int(counts[stored]), int(counts[asked]+counts[unknown]), int(counts[aborted])
	v.Forgotten = r.forgotten(source)

	fields := []truth.Field{truth.Key, truth.Value, truth.Exact, truth.Time}
	if !r.toStream {
		fields[2] = truth.Grouped // a stream has no order across names
	}
	compared := append(slices.Clone(sink), letters...)
	if r.vanishes {
		var altered int64
		var such string
		if compared, altered, such = r.stillThere(source, compared, fields); altered > 0 {
			r.log.find(checkAltered, r, "%d messages that are gone from the source, such as %s", altered, such)
		}
	}
	if r.expect.halt != "" {
		compared = nil // what is behind the halt is not at the sink, and what is before it is gone
		source = nil
	}
	report, err := truth.Compare(source, compared, fields...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	v.Source, v.Sink, v.Findings = report.Source, len(sink), report.Findings
	v.Lost, v.Doubled, v.Phantom, v.Reordered, v.Altered = report.Lost, report.Doubled, report.Phantom, report.Reordered, report.Altered
	if r.expect.told {
		r.expect.lost = min(v.Lost, r.watch.dropped)
	}
	for check, n := range map[string]int64{checkLost: v.Lost - r.expect.lost, checkPhantom: v.Phantom, checkReordered: v.Reordered, checkAltered: v.Altered} {
		if n != 0 {
			r.log.find(check, r, "%d messages, such as %s", n, example(report.Findings, check))
		}
	}
	v.doubles = r.doubles(sink, letters)
	r.judgeDoubles(v)
	r.judgeDaemons(v)
	return v, nil
}

func example(findings []string, check string) string {
	for _, f := range findings {
		if len(f) > len(check) && f[:len(check)] == check {
			return f
		}
	}
	return "none of the first"
}

// read reads both logs again, and the dead letters, of which value, headers by name and time are compared.
func (r *route) read(ctx context.Context) (source, sink, letters []truth.Entry, err error) {
	if r.toStream {
		if source = r.written; source == nil {
			source, err = r.topic.Log(ctx, r.name)
		}
		if err == nil {
			sink, err = r.stream.Log(ctx, r.name)
		}
		if err == nil {
			letters, err = r.letters.Log(ctx, r.name)
		}
	} else {
		if source, err = r.stream.Log(ctx, r.name); err == nil {
			sink, err = r.topic.Log(ctx, r.name)
		}
		if err == nil {
			letters, err = r.refused.Log(ctx, r.name)
		}
	}
	read := make(map[int64]*truth.Entry, len(source))
	for i := range source {
		read[source[i].ID] = &source[i]
	}
	for i := range letters {
		e := &letters[i]
		e.Partition = lettersPartition // a log of their own
		if was := read[e.ID]; was != nil {
			e.Prints[truth.Key], e.Prints[truth.Exact] = was.Prints[truth.Key], was.Prints[truth.Exact]
		}
	}
	whole := slices.DeleteFunc(slices.Clone(letters), func(e truth.Entry) bool { return e.ID < 0 })
	if raw := len(letters) - len(whole); raw != r.expect.raw {
		r.log.find(checkPhantom, r, "%d dead letters are of no message, want %d that hold a batch", raw, r.expect.raw)
	}
	return source, sink, whole, err
}

const lettersPartition = 1 << 20

// forgotten counts what the source said that it stored and does not hold. That is no fault of the bridge,
// but a run in which it happens proves less.
func (r *route) forgotten(source []truth.Entry) (n int64) {
	have := make(map[int64]bool, len(source))
	for i := range source {
		have[source[i].ID] = true
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	for id, o := range r.ledger.known {
		if o == stored && !have[int64(id)] {
			n++
		}
	}
	return n
}

// stillThere leaves out of the sink what the source has forgotten since, after it was compared with the
// message that the load made. What the load never made, or gave up, stays, and is a phantom.
func (r *route) stillThere(source, sink []truth.Entry, fields []truth.Field) (left []truth.Entry, altered int64, such string) {
	have := make(map[int64]bool, len(source))
	for i := range source {
		have[source[i].ID] = true
	}
	for _, e := range sink {
		if have[e.ID] || e.ID < 0 || e.ID >= int64(len(r.ledger.known)) || r.ledger.known[e.ID] == aborted {
			left = append(left, e)
			continue
		}
		m := r.maker.message(e.ID)
		was := truth.NewEntry(r.name, &m, 0, 0)
		if e.Partition == lettersPartition {
			e.Prints[truth.Key], e.Prints[truth.Exact] = was.Prints[truth.Key], was.Prints[truth.Exact]
		}
		for _, f := range fields {
			if r.toStream && was.Prints[f] != e.Prints[f] {
				altered++
				such = fmt.Sprintf("%s of message %d at sink %d@%d", f, e.ID, e.Partition, e.Offset)
			}
		}
	}
	return left, altered, such
}

// doubles finds the copies beyond the first and when they were there.
func (r *route) doubles(sink, letters []truth.Entry) (all []doubled) {
	seen := make(map[int64]bool, len(sink))
	byPartition := map[int32][]*truth.Entry{}
	for _, log := range [][]truth.Entry{sink, letters} {
		for i := range log {
			e := &log[i]
			if seen[e.ID] {
				byPartition[e.Partition] = append(byPartition[e.Partition], e)
			}
			seen[e.ID] = true
		}
	}
	for partition, entries := range byPartition {
		slices.SortFunc(entries, func(a, b *truth.Entry) int { return int(a.Offset - b.Offset) })
		offsets := make([]int64, len(entries))
		for i, e := range entries {
			offsets[i] = e.Offset
		}
		for i, at := range r.marks.times(partition, offsets) {
			all = append(all, doubled{at, entries[i]})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].at < all[j].at })
	return all
}

// aftermath is how long after a route flows again what a fault has doubled may still arrive. Time in which
// other faults stood in the way does not count.
const aftermath = 30.0

// excuse is a fault that may double messages.
type excuse struct {
	*fault
	until float64
	left  int64
}

func (r *route) excuses() (all []*excuse) {
	for _, f := range r.log.faults {
		if _, ok := f.Found[r.name]; !ok {
			continue
		}
		for _, e := range all {
			if f.At <= e.until {
				e.until += f.Held
			}
		}
		if f.Allowed > 0 {
			all = append(all, &excuse{f, f.At + f.Held + max(f.Recovered, 0) + aftermath, f.Allowed})
		}
	}
	return all
}

// judgeDoubles wants that whatever is doubled is due to a fault that may double, just before, and that
// none doubles more than it may.
func (r *route) judgeDoubles(v *verdict) {
	all := r.excuses()
	unexcused := 0
	var first doubled
	for _, d := range v.doubles {
		e := latest(all, d.at)
		if e == nil {
			if unexcused++; unexcused == 1 {
				first = d
			}
			continue
		}
		e.left--
	}
	if unexcused > 0 {
		r.log.find(checkDoubled, r, "%d messages are doubled for which there is no excuse, the first at %.1f s, sink %d@%d",
			unexcused, first.at, first.entry.Partition, first.entry.Offset)
	}
	for _, e := range all {
		n := e.Allowed - e.left
		v.Allowed += e.Allowed
		e.Doubled += n
		if e.Kind == killed {
			v.MostAKill = max(v.MostAKill, n)
		}
	}
}

// latest returns the latest fault that may have doubled something by then; of what has no time, any.
func latest(all []*excuse, at float64) *excuse {
	for _, e := range slices.Backward(all) {
		if e.left > 0 && (e.At <= at && at <= e.until || at == endOfTime) {
			return e
		}
	}
	return nil
}

// idleShare is how much of a processor a daemon may use that has nothing to do.
const idleShare = 0.2

// retryRate is how many writes a second a daemon may try again, over all its time.
const retryRate = 10

// judgeDaemons looks at what the daemons took, and said.
func (r *route) judgeDaemons(v *verdict) {
	p := v.Peaks
	if p.InFlight > p.InFlightLimit || p.Bytes > p.BytesLimit {
		r.log.find(checkWindow, r, "%d messages and %d bytes in flight, the window is %d and %d", p.InFlight, p.Bytes, p.InFlightLimit, p.BytesLimit)
	}
	if p.Open > p.OpenLimit {
		r.log.find(checkWindow, r, "%d messages fetched and not committed, /status states at most %d", p.Open, p.OpenLimit)
	}
	if p.Resident > p.MemoryLine {
		r.log.find(checkMemory, r, "%d MiB resident, the line says at most %d MiB (%s)", p.Resident>>20, p.MemoryLine>>20, p.ResidentWhen)
	}
	if p.StalledSec > 5 && p.StalledCPU > idleShare*p.StalledSec {
		r.log.find(checkIdle, r, "%.1f s of processor time in %.1f s of waiting for a broker", p.StalledCPU, p.StalledSec)
	}
	if p.Seconds > 5 && float64(p.Retries) > retryRate*p.Seconds {
		r.log.find(checkIdle, r, "%d writes tried again in %.0f s", p.Retries, p.Seconds)
	}
	switch why, want := r.watch.halted, r.expect.halt; {
	case want == "" && why != "":
		r.log.find(checkHalt, r, "waited for an operator: %s", why)
	case want != "" && !strings.Contains(why, want):
		r.log.find(checkHalt, r, "did not wait for an operator because of %q: %q", want, why)
	}
	r.judgeGaps()
}
