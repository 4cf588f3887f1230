package cmd

import (
	"strings"
	"testing"
	"time"
)

// Status says how old unread data is, when it is read, and when it is lost.
func TestStatusOfUnread(t *testing.T) {
	seconds := func(s float64) *float64 { return &s }
	for name, c := range map[string]struct {
		unread *unreadView
		has    string
		lost   string // empty: nothing is said
	}{
		"nothing":    {nil, "1,000  5", ""},
		"age":        {&unreadView{Age: seconds(90)}, "1,000, 1m30s old  5", ""},
		"catches up": {&unreadView{Age: seconds(5), CaughtUp: seconds(40)}, "1,000, 5.0s old, caught up in 40s  5", ""},
		"is lost":    {&unreadView{Loss: seconds(720), Limit: "retention.ms of topic in"}, "1,000  5", "orders: the oldest unread message is lost in 12m0s: retention.ms of topic in\n  → "},
		"is past":    {&unreadView{Loss: seconds(0), Limit: "max_age of the stream"}, "1,000  5", "are past max_age of the stream"},
		"far":        {&unreadView{Loss: seconds(1e6), Limit: "x"}, "1,000  5", ""},
	} {
		var out strings.Builder
		r := routeView{Route: "orders", State: "stalled", Since: time.Now(), Lag: 1000, Known: true, Unread: c.unread}
		r.Counts.Acknowledged = 5
		if err := printStatus(&out, []routeView{r}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if text := out.String(); !strings.Contains(text, c.has) || !strings.Contains(text, c.lost) || c.lost == "" && strings.Contains(text, "→") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}
