package bridge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// The stages at which a tap sees a message.
const (
	StageFetched  = "fetched"  // the source has returned it
	StageMapped   = "mapped"   // it has passed the route's filter and is mapped; of routes that have one or the other
	StageRejected = "rejected" // it was refused for good, or given up by an operator
)

// Stages are all of them.
func Stages() []string { return []string{StageFetched, StageMapped, StageRejected} }

const (
	// tapRate is how many messages a second a tap shows at most: more than anybody reads.
	tapRate = 100
	// tapBuffer is how many messages wait for a slow reader: with all that is shown of each, some 3 MiB at most.
	tapBuffer = 64
	// maxTaps is how many people may look at a route at once.
	maxTaps = 4
	// maxTapped is what is shown of a key, of a value, and of all headers together, in bytes.
	maxTapped = 4 << 10
)

// Tapped is what a tap shows of a message. Payload is nil unless the tap may show it.
type Tapped struct {
	Time       time.Time      `json:"time"`
	Stage      string         `json:"stage"`
	Partition  string         `json:"partition"`
	Offset     int64          `json:"offset"`
	Subject    string         `json:"subject"`
	Stored     time.Time      `json:"stored,omitzero"` // when the origin stored it
	KeyBytes   int            `json:"key_bytes"`
	ValueBytes int            `json:"value_bytes"`
	Headers    []string       `json:"headers,omitempty"` // their names, at most 64, as far as there is room; see TappedPayload
	Error      string         `json:"error,omitempty"`   // why it was rejected
	Payload    *TappedPayload `json:"payload,omitempty"`
}

// TappedPayload is what a message holds. What is no text is quoted. A key, a value and all headers together are cut
// at 4 KiB.
type TappedPayload struct {
	Key     string   `json:"key,omitempty"`
	Value   string   `json:"value"`
	Headers []string `json:"headers,omitempty"` // as name: value
}

// Tap shows messages of a route as they pass: a sample of at most 100 a second, taken evenly from each batch. It
// never holds the route up: what its reader does not take in time is not shown, and counted.
type Tap struct {
	route    *Route
	stages   []string
	payload  bool
	messages chan Tapped
	over     chan struct{} // closed when the route has ended
	rate     *flowcontrol.Bucket
	seen     atomic.Int64
}

// Tap begins to look at a route, at all stages if none are named. Who calls it has to Close the tap.
func (b *Bridge) Tap(route string, payload bool, stages ...string) (*Tap, error) {
	r, err := b.route(route)
	if err != nil {
		return nil, err
	}
	for _, s := range stages {
		if !slices.Contains(Stages(), s) {
			return nil, fmt.Errorf("%.40q is no stage: there is %s", s, strings.Join(Stages(), ", "))
		}
	}
	t := &Tap{
		route: r, stages: stages, payload: payload, messages: make(chan Tapped, tapBuffer), over: make(chan struct{}),
		rate: flowcontrol.NewBucket(tapRate, time.Now()),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*Tap
	if is := r.taps.Load(); is != nil {
		all = *is
	}
	switch {
	case r.ended:
		return nil, fmt.Errorf("route %s has ended", route)
	case len(all) == maxTaps:
		return nil, fmt.Errorf("route %s: %d people look at it already", route, maxTaps)
	}
	all = append(slices.Clone(all), t)
	r.taps.Store(&all)
	return t, nil
}

// Close ends the look. The reader calls it once.
func (t *Tap) Close() {
	r := t.route
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.taps.Load()
	if all == nil {
		return
	}
	left := slices.DeleteFunc(slices.Clone(*all), func(o *Tap) bool { return o == t })
	if len(left) == 0 {
		r.taps.Store(nil)
		return
	}
	r.taps.Store(&left)
}

// Messages are what is shown.
func (t *Tap) Messages() <-chan Tapped { return t.messages }

// Over is closed when the route has ended.
func (t *Tap) Over() <-chan struct{} { return t.over }

// Seen is how many messages have passed at the tap's stages, shown or not.
func (t *Tap) Seen() int64 { return t.seen.Load() }

// endTaps tells the readers that nothing will come. r.mu is held.
func (r *Route) endTaps() {
	if all := r.taps.Load(); all != nil {
		for _, t := range *all {
			close(t.over)
		}
	}
	r.taps.Store(nil)
}

// tap shows messages of a batch to whoever looks. It costs one load while nobody does.
func (r *Route) tap(stage string, b *connectors.Batch, messages []connectors.Message, why error) {
	all := r.taps.Load()
	if all == nil {
		return
	}
	now := time.Now()
	for _, t := range *all {
		t.show(now, stage, b, messages, why)
	}
}

// show takes an even sample of messages, as many as the rate and the buffer have room for.
func (t *Tap) show(now time.Time, stage string, b *connectors.Batch, messages []connectors.Message, why error) {
	if len(t.stages) > 0 && !slices.Contains(t.stages, stage) {
		return
	}
	t.seen.Add(int64(len(messages)))
	left, _ := t.rate.Left(now)
	n := min(int(left), cap(t.messages)-len(t.messages), len(messages))
	if n <= 0 {
		return
	}
	t.rate.Take(int64(n), now)
	for i := range n {
		m := t.tapped(now, stage, b, &messages[i*len(messages)/n])
		if why != nil {
			m.Error = shorten(why.Error())
		}
		select {
		case t.messages <- m:
		default: // another lane was faster
		}
	}
}

// tapped copies what is shown, for the message's memory is used again.
func (t *Tap) tapped(now time.Time, stage string, b *connectors.Batch, m *connectors.Message) Tapped {
	const mostHeaders = 64
	shown := Tapped{
		Time: now, Stage: stage, Partition: b.Partition, Offset: m.Offset, Subject: shorten(strings.Clone(m.Subject)), Stored: m.Time,
		KeyBytes: len(m.Key), ValueBytes: len(m.Value),
	}
	if t.payload {
		shown.Payload = &TappedPayload{Key: asText(m.Key, maxTapped), Value: asText(m.Value, maxTapped)}
	}
	left := maxTapped
	for i := range min(len(m.Headers), mostHeaders) {
		if left == 0 {
			break
		}
		h := &m.Headers[i]
		name := strings.Clone(h.Key[:min(len(h.Key), left)])
		shown.Headers = append(shown.Headers, name)
		left -= len(name)
		if p := shown.Payload; p != nil {
			p.Headers = append(p.Headers, name+": "+asText(h.Value, left))
			left -= min(len(h.Value), left)
		}
	}
	return shown
}

func shorten(text string) string { return text[:min(len(text), maxTapped)] }

// asText is the beginning of data as text, of most bytes.
func asText(data []byte, most int) string {
	cut := string(data[:min(len(data), most)])
	if utf8.Valid(data) {
		return strings.ToValidUTF8(cut, "") // the cut may have gone through a character
	}
	return strconv.Quote(cut)
}
