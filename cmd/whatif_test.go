package cmd

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPredict(t *testing.T) {
	seconds := func(s float64) *float64 { return &s }
	pace := func(arriving, most float64, left *float64) *paceView {
		return &paceView{Arriving: arriving, Most: most, Left: left, Limit: "retention"}
	}
	for name, c := range map[string]struct {
		route routeView
		then  int64
		up    float64 // -1: not known
		loss  bool
	}{
		"caught up, much spare":      {routeView{Known: true, Pace: pace(100, 600, seconds(7200))}, 240_000, 480, false},
		"caught up, none seen":       {routeView{Known: true, Pace: pace(100, 100, seconds(7200))}, 240_000, -1, false},
		"caught up, hardly any seen": {routeView{Known: true, Pace: pace(100, 109, seconds(7200))}, 240_000, -1, false},
		"kept for too short":         {routeView{Known: true, Pace: pace(100, 600, seconds(2399))}, 240_000, 480, true},
		"kept for ever":              {routeView{Known: true, Lag: 1000, Pace: pace(100, 600, nil)}, 241_000, 482, false},
		"the window takes it": {func() routeView {
			r := routeView{Known: true, Pace: pace(1, 600, seconds(1))}
			r.Window.Now, r.Window.Messages = 8192, 192
			return r
		}(), 0, 4, false},
		"the window takes some, by its bytes": {func() routeView {
			r := routeView{Known: true, Pace: pace(100, 600, seconds(7200))}
			r.Window.Now, r.Window.BytesLimit, r.Window.Bytes, r.Counts.Fetched, r.Counts.FetchedBytes = 8192, 1100, 100, 10, 100
			return r
		}(), 239_900, 480, false},
		"nothing comes":            {routeView{Known: true, Pace: pace(0, 600, seconds(1))}, 0, 0, false},
		"behind, read fast enough": {routeView{Known: true, Lag: 60_000, Pace: pace(0, 100, seconds(2500)), Unread: &unreadView{Age: seconds(1200)}}, 60_000, 600, false},
		"behind, read too slowly":  {routeView{Known: true, Lag: 60_000, Pace: pace(0, 10, seconds(2500)), Unread: &unreadView{Age: seconds(1200)}}, 60_000, 6000, true},
		"behind, never caught up":  {routeView{Known: true, Lag: 500, Pace: pace(100, 90, nil)}, 240_500, -1, false},
	} {
		p := predict(&c.route, 40*time.Minute)
		up := -1.0
		if p.CaughtUp != nil {
			up = *p.CaughtUp
		}
		if p.Unknown != "" || p.Then != c.then || math.Abs(up-c.up) > 1 || p.Loss != c.loss {
			t.Errorf("%s: %+v, caught up %v", name, p, up)
		}
	}
	for name, r := range map[string]routeView{
		"lag": {Pace: pace(1, 1, nil)}, "pace": {Known: true}, "standby": {Known: true, State: "standby", Pace: pace(1, 1, nil)}, "ended": {Known: true, Ended: true},
	} {
		if p := predict(&r, time.Hour); p.Unknown == "" || p.Loss {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestWhatIf(t *testing.T) {
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, 200, `{"routes": [
			{"route": "safe", "lag": 10, "lag_known": true, "pace": {"arriving_per_second": 5, "most_per_second": 50, "left_seconds": 604800, "limit": "retention.ms of topic t"}},
			{"route": "tight", "lag": 0, "lag_known": true, "pace": {"arriving_per_second": 5, "most_per_second": 5, "left_seconds": 1800, "limit": "max_msgs of the stream"}},
			{"route": "new", "lag": 0, "lag_known": false}]}`)
	}))
	defer daemon.Close()
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"":        {1, "ROUTE LAG NOW COME/s LAG THEN CAUGHT UP OLDEST UNREAD safe 10 5 12,010 after 4m27s is kept for 168h0m (retention.ms of topic t) tight 0 5 12,000 not known: no more than 5/s was seen LOST: upstream removes it in 30m0s (max_msgs of the stream) new ? ? ? ? how much is unread is not known"},
		"safe":    {0, "safe 10 5 12,010"},
		"tight":   {1, "LOST"},
		"new":     {0, "how much is unread is not known"},
		"nothing": {1, `there is no route "nothing"`},
	} {
		r := newRig(t)
		code := r.main(soon(t), append([]string{"whatif", "--sink-down", "40m", "--url", daemon.URL}, nonEmpty(args)...))
		if text := strings.Join(strings.Fields(r.stdout.String()+r.stderr.String()), " "); code != want.code || !strings.Contains(text, want.text) {
			t.Errorf("%q: exit code %d\n%s", args, code, text)
		}
	}
	r := newRig(t)
	var got []prediction
	if code := r.main(soon(t), []string{"whatif", "--sink-down", "10m", "tight", "--json", "--url", daemon.URL}); code != 0 || json.Unmarshal([]byte(r.stdout.String()), &got) != nil {
		t.Errorf("exit code %d %s", code, r.stderr)
	}
	left := 1800.0
	if diff := cmp.Diff([]prediction{{Route: "tight", Arriving: 5, Most: 5, Then: 3000, Left: &left, Limit: "max_msgs of the stream"}}, got); diff != "" {
		t.Error(diff)
	}
}
