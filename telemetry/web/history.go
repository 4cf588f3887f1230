package web

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-bridge/sluice/telemetry"
)

const (
	// keep is for how long points are kept, and keepMemory what all of them may take, at pointMemory each.
	keep        = 15 * time.Minute
	keepMemory  = 4 << 20
	pointMemory = 56
)

// point is what the charts need of a route at one moment.
type point struct {
	state    uint8 // an index into flowcontrol's states
	messages int64
	bytes    int64
	fetched  uint64
	acked    uint64
	lag      int64 // -1: unknown
	oldest   int64 // age in milliseconds
}

// Columns names the values of a route in a history event, in their order.
func Columns() []string {
	return []string{"state", "messages", "bytes", "fetched", "acknowledged", "lag", "oldest"}
}

func (p *point) columns() [7]int64 {
	return [...]int64{int64(p.state), p.messages, p.bytes, int64(p.fetched), int64(p.acked), p.lag, p.oldest}
}

func pointOf(s *telemetry.RouteStatus, now time.Time) point {
	p := point{
		state: uint8(s.State), messages: s.Window.Messages, bytes: s.Window.Bytes,
		fetched: s.Counts.FetchedMessages, acked: s.Counts.AcknowledgedMessages, lag: -1,
	}
	if s.LagKnown {
		p.lag = s.Lag
	}
	if len(s.InFlight) > 0 && !s.InFlight[0].Oldest.IsZero() {
		p.oldest = now.Sub(s.InFlight[0].Oldest).Milliseconds()
	}
	return p
}

// moment is one look at all routes.
type moment struct {
	seq    uint64
	at     time.Time
	points []point // in the order of history.names
}

// history keeps the latest moments.
type history struct {
	names   []string
	moments []moment // oldest first
}

// add takes a look at the routes. Other routes than before begin the history anew.
func (h *history) add(seq uint64, s *telemetry.ProcessStatus) {
	names := make([]string, len(s.Routes))
	points := make([]point, len(s.Routes))
	for i := range s.Routes {
		names[i] = s.Routes[i].Route
		points[i] = pointOf(&s.Routes[i], s.Time)
	}
	if !slices.Equal(names, h.names) {
		*h = history{names: names}
	}
	h.moments = append(h.moments, moment{seq, s.Time, points})
	most := keepMemory / (pointMemory * max(1, len(names)))
	for len(h.moments) > max(1, most) || s.Time.Sub(h.moments[0].at) > keep {
		h.moments = slices.Delete(h.moments, 0, 1)
	}
}

// since returns the data of a history event with the moments after seq.
func (h *history) since(seq uint64, reset bool) []byte {
	first := slices.IndexFunc(h.moments, func(m moment) bool { return m.seq > seq })
	var moments []moment
	if first >= 0 {
		moments = h.moments[first:]
	}
	out := append([]byte(`{"reset":`), strconv.FormatBool(reset)...)
	out = append(out, `,"times":[`...)
	for i := range moments {
		out = number(out, i, moments[i].at.UnixMilli())
	}
	out = append(out, `],"routes":{`...)
	for r, name := range h.names {
		if r > 0 {
			out = append(out, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			continue // a string is always marshalled
		}
		out = append(append(out, quoted...), ":["...)
		for c := range Columns() {
			if c > 0 {
				out = append(out, ',')
			}
			out = append(out, '[')
			for i := range moments {
				out = number(out, i, moments[i].points[r].columns()[c])
			}
			out = append(out, ']')
		}
		out = append(out, ']')
	}
	return append(out, "}}"...)
}

// number appends the i-th number of an array.
func number(out []byte, i int, n int64) []byte {
	if i > 0 {
		out = append(out, ',')
	}
	return strconv.AppendInt(out, n, 10)
}
