package verify

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// maxRuns bounds how many runs of a partition are printed.
const maxRuns = 8

// Print writes the report for people: what is equal first, and how the ends differ last.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s read at the source, %s at the sink, in %s\n", r.Route,
		messages(r.SourceMessages), messages(r.SinkMessages), r.Took.Round(time.Millisecond))
	for i := range r.Partitions {
		r.Partitions[i].print(w)
	}
	if r.Foreign > 0 {
		fmt.Fprintf(w, "  %s at the sink from elsewhere\n", messages(r.Foreign))
	}
	listed := map[Kind]int64{}
	for i := range r.Findings {
		f := &r.Findings[i]
		listed[f.Kind]++
		fmt.Fprintf(w, "  %s\n", f)
	}
	for _, kind := range Kinds() {
		if more := r.Counts[kind] - listed[kind]; more > 0 {
			fmt.Fprintf(w, "  and %s more %s\n", humanize.Comma(more), kind)
		}
	}
	fmt.Fprintf(w, "%s: %s\n", r.Route, r.Verdict())
}

// Verdict says in one line whether the ends are equal.
func (r *Report) Verdict() string {
	if r.Equal {
		return "equal"
	}
	var parts []string
	for _, kind := range Kinds() {
		if n := r.Counts[kind]; n > 0 {
			parts = append(parts, humanize.Comma(n)+" "+string(kind))
		}
	}
	return "different: " + strings.Join(parts, ", ")
}

func messages(n int64) string {
	if n == 1 {
		return "1 message"
	}
	return humanize.Comma(n) + " messages"
}

func (p *PartitionReport) print(w io.Writer) {
	name := p.Partition
	line := func(format string, args ...any) {
		fmt.Fprintf(w, "  %-16s %s\n", name, fmt.Sprintf(format, args...))
		name = ""
	}
	if p.Expired > 0 {
		line("%d to %d: no longer at the source", 0, p.Expired-1)
	}
	for i, run := range p.Equal {
		if i == maxRuns {
			line("and %d more equal runs", len(p.Equal)-maxRuns)
			break
		}
		line("%d to %d: equal, %s", run.From, run.To-1, messages(run.Messages))
	}
	for i, run := range p.Different {
		if i == maxRuns {
			line("and more")
			break
		}
		line("%d to %d: different, %s, %s", run.From, run.To-1, messages(run.Messages), plural(run.Findings, "finding"))
	}
	if p.DeadLettered > 0 {
		more := ""
		if p.DeadLettered > int64(len(p.DeadLetters)) {
			more = " ..."
		}
		line("dead-lettered: %s, at %s%s", messages(p.DeadLettered), strings.Trim(fmt.Sprint(p.DeadLetters), "[]"), more)
	}
	if p.Returned > 0 {
		line("from the sink, and not sent back there: %s", messages(p.Returned))
	}
	if p.Filtered > 0 {
		line("not let pass by the filter: %s", messages(p.Filtered))
	}
	if p.Gone > 0 {
		line("no longer at the source: %s that the sink has", messages(p.Gone))
	}
	if p.Left > 0 {
		line("perhaps no longer at the sink, which has dropped some: %s", messages(p.Left))
	}
	if p.Later > 0 {
		line("%d to %d: not compared, not committed when this began or not at the sink", p.To, p.To+p.Later-1)
	}
	if name != "" {
		line("nothing to compare")
	}
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return humanize.Comma(n) + " " + what + "s"
}

func (p Place) String() string { return fmt.Sprintf("%s@%d", p.Partition, p.Position) }

func (f *Finding) String() string {
	var text string
	switch f.Kind {
	case Lost:
		text = fmt.Sprintf("lost: %s is nowhere at the sink", f.Source)
	case Doubled:
		text = fmt.Sprintf("doubled: %s is at sink %s and again at sink %s", f.Source, f.First, f.Sink)
	case Reordered:
		text = fmt.Sprintf("reordered: %s came to sink %s behind %s@%d, which is at sink %s", f.Source, f.Sink, f.Source.Partition, f.Behind, f.First)
	case Altered:
		text = fmt.Sprintf("altered: %s differs at sink %s in %s", f.Source, f.Sink, strings.Join(f.Fields, ", "))
	case Phantom:
		if f.Source != (Place{}) {
			text = fmt.Sprintf("phantom: sink %s claims to be %s", f.Sink, f.Source)
		} else {
			text = fmt.Sprintf("phantom: sink %s", f.Sink)
		}
	}
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	return text
}
