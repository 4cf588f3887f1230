package cmd

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// column is one of the table. Narrow terminals do without those of a higher order.
type column struct {
	name  string
	right bool
	order int
	value func(*topLine, time.Time) string
}

func columns() []column {
	return []column{
		{"STATE", false, 0, func(l *topLine, _ time.Time) string { return shape(l.State) + " " + l.State }},
		{"ROUTE", false, 0, func(l *topLine, _ time.Time) string { return l.Route }},
		{"FOR", true, 2, func(l *topLine, _ time.Time) string { return ago(l.Seconds) }},
		{"IN/s", true, 1, func(l *topLine, _ time.Time) string { return rate(l.In) }},
		{"OUT/s", true, 0, func(l *topLine, _ time.Time) string { return rate(l.Out) }},
		{"B/s", true, 5, func(l *topLine, _ time.Time) string { return humanize.IBytes(uint64(max(l.Bytes, 0))) }},
		{"WINDOW", false, 1, func(l *topLine, _ time.Time) string { return bar(l.Window) }},
		{"LAG", true, 0, func(l *topLine, _ time.Time) string {
			if l.Lag == nil {
				return "?"
			}
			return humanize.Comma(*l.Lag)
		}},
		{"OLDEST", true, 3, func(l *topLine, _ time.Time) string { return since(l.Oldest) }},
		{"LAST STALL", false, 4, func(l *topLine, now time.Time) string { return lastStall(l.route.Stalls, now) }},
		{"RETRY", true, 6, func(l *topLine, _ time.Time) string { return humanize.Comma(l.Retries) }},
		{"DEAD", true, 6, func(l *topLine, _ time.Time) string { return humanize.Comma(l.DeadSent) }},
		{"HELD BACK BY", false, 0, heldBy},
	}
}

func heldBy(l *topLine, _ time.Time) string {
	if h := l.route.Halted; h != nil {
		return h.Reason
	}
	return strings.Join(nonEmpty(l.Blocker, l.Cause, l.route.Paused.words(), l.route.Holder, l.route.Owner, l.Detail), " · ")
}

// shape tells a state without its colour.
func shape(state string) string {
	shapes := map[string]string{
		"flowing": "▶", "limited": "»", "stalled": "■", "idle": "○", "starved": "◌", "paused": "‖", "rebalancing": "⇄",
		"disconnected": "✕", "standby": "◐", "halted": "!", "ended": "─",
	}
	return shapes[state]
}

// colourOf is the SGR code of a state's colour.
func colourOf(state string) string {
	switch state {
	case "halted", "stalled", "disconnected":
		return "1;31"
	case "starved", "paused", "rebalancing":
		return "33"
	case "limited":
		return "36"
	case "flowing":
		return "32"
	}
	return "2"
}

func bar(percent int64) string {
	const cells = 8
	full := int(min(cells, (percent*cells+50)/100))
	return fmt.Sprintf("%s%s %3d %%", strings.Repeat("█", full), strings.Repeat("░", cells-full), percent)
}

// lastStall tells of the latest stall in which nothing was acknowledged for a second.
func lastStall(all []topStall, now time.Time) string {
	for i := len(all) - 1; i >= 0; i-- {
		switch s := all[i]; {
		case s.Stalled == 0:
		case s.End.IsZero():
			return "now"
		default:
			return ago(s.End.Sub(s.Begin).Seconds()) + ", " + ago(now.Sub(s.End).Seconds()) + " ago"
		}
	}
	return "-"
}

// table draws the routes at most width runes wide: the last column is cut, and before that columns are left
// out. Of more routes than fit it shows those around the chosen one.
func (b *board) table(width, height int) []string {
	all := b.lines()
	cols := columns()
	var cells [][]string
	var widths []int
	for order := 6; ; order-- {
		cells, widths = b.layout(all, cols)
		total := 0
		for _, w := range widths[:len(widths)-1] {
			total += w + 2
		}
		if total+len("HELD BACK BY") <= width || order == 0 {
			break
		}
		var kept []column
		for _, c := range cols {
			if c.order < order {
				kept = append(kept, c)
			}
		}
		cols = kept
	}
	lines := []string{b.row(cells[0], cols, widths, width, "")}
	first := 0
	for i, l := range all {
		if l.Route == b.chosen {
			first = max(0, min(i-(height-1)/2, len(all)-(height-1)))
		}
	}
	for i := first; i < len(all) && len(lines) < height; i++ {
		text := b.row(cells[i+1], cols, widths, width, all[i].State)
		if b.colour && all[i].Route == b.chosen {
			text = "\x1b[7m" + strings.ReplaceAll(text, "\x1b[0m", "\x1b[0;7m") + "\x1b[0m"
		}
		lines = append(lines, text)
	}
	return lines
}

// layout returns the cells, the head first, and how wide each column is.
func (b *board) layout(all []*topLine, cols []column) (cells [][]string, widths []int) {
	head := make([]string, len(cols))
	for i, c := range cols {
		head[i] = c.name
		widths = append(widths, utf8.RuneCountInString(c.name))
	}
	cells = append(cells, head)
	for _, l := range all {
		row := make([]string, len(cols))
		for i, c := range cols {
			row[i] = plain(c.value(l, b.now.Time))
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		cells = append(cells, row)
	}
	return cells, widths
}

// row is one line. state is empty for the head.
func (b *board) row(cells []string, cols []column, widths []int, width int, state string) string {
	var text strings.Builder
	left := width
	for i, cell := range cells {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		switch {
		case i == len(cells)-1:
		case cols[i].right:
			cell = pad + cell + "  "
		default:
			cell += pad + "  "
		}
		cell = cut(cell, left)
		left -= utf8.RuneCountInString(cell)
		if b.colour && (i == 0 || state == "") {
			code := "2"
			if state != "" {
				code = colourOf(state)
			}
			cell = "\x1b[" + code + "m" + cell + "\x1b[0m"
		}
		text.WriteString(cell)
	}
	return strings.TrimRight(text.String(), " ")
}

// cut shortens a text to so many runes.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width <= 1 {
		return ""
	}
	return string([]rune(text)[:width-1]) + "…"
}

// picture is what a terminal of this size shows.
func (b *board) picture(width, height int) []string {
	title := fmt.Sprintf("sluice %s  %s  %s  %s", b.now.Version, b.now.Instance, b.now.Time.Local().Format(time.TimeOnly), b.counts())
	if b.now.Draining {
		title += "  draining"
	}
	if b.held {
		title += "  held: p goes on"
	}
	lines := []string{cut(plain(title), width)}
	if b.away != nil {
		first, _, _ := strings.Cut(b.away.Error(), "\n")
		lines = append(lines, cut(plain("as of "+b.now.Time.Local().Format(time.TimeOnly)+": "+first), width))
	}
	var details []string
	if b.open {
		details = b.details(width)
	}
	room := max(2, height-len(lines)-len(details)-2)
	lines = append(lines, "")
	lines = append(lines, b.table(width, room)...)
	lines = append(lines, details...)
	lines = lines[:min(len(lines), height-1)]
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	return append(lines, cut("q ends  ↑↓ choose  Enter more  s sort: "+b.sort+"  p hold", width))
}

// counts is how many routes are in which state.
func (b *board) counts() string {
	n := map[string]int{}
	for _, r := range b.now.Routes {
		n[lineOf(r, b.now.Time).State]++
	}
	var words []string
	for _, s := range []string{"halted", "stalled", "disconnected", "starved", "paused", "rebalancing", "limited", "flowing", "idle", "standby", "ended"} {
		if n[s] > 0 {
			words = append(words, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(words, " · ")
}

// details tells more of the chosen route.
func (b *board) details(width int) []string {
	const most = 5
	all := b.lines()
	if b.chosen == "" && len(all) > 0 {
		b.chosen = all[0].Route
	}
	lines := []string{"", strings.Repeat("─", min(width, 60))}
	for _, l := range all {
		if l.Route != b.chosen {
			continue
		}
		r := l.route
		say := func(format string, args ...any) {
			lines = append(lines, cut(plain(fmt.Sprintf(format, args...)), width))
		}
		say("%s: %s for %s  %s", r.Route, l.State, ago(l.Seconds), heldBy(l, b.now.Time))
		if r.Halted != nil {
			say("  → %s", r.Halted.Way)
		}
		if r.Paused != nil {
			say("  → sluice resume %s", r.Route)
		}
		if r.Evidence != "" {
			say("  evidence  %s", r.Evidence)
		}
		for _, words := range nonEmpty(r.Unread.words(), r.Unread.loss()) {
			say("  unread  %s", words)
		}
		for i := range min(most, len(r.InFlight)) {
			f := &r.InFlight[i]
			say("  in flight  %s at %d: %d messages, oldest %s  %s", f.Partition, f.Offset, f.Messages, ago(b.now.Time.Sub(f.Oldest).Seconds()), f.Error)
		}
		for i := range min(most, len(r.Stalls)) {
			s := &r.Stalls[len(r.Stalls)-1-i]
			end, how := s.End, "waited for room"
			if s.Stalled > 0 {
				how = "stalled"
			}
			if end.IsZero() {
				end, how = b.now.Time, how+" now"
			}
			say("  %s  %s for %s by %s, %s was full  trace %s", s.Begin.Local().Format(time.TimeOnly), how, ago(end.Sub(s.Begin).Seconds()), s.Blocker, s.Cause, s.TraceID)
		}
	}
	return lines
}
