package telemetry

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// What is shipped to be deployed names nothing that /metrics does not have: no metric, and no label.
func TestDeployNamesExist(t *testing.T) {
	var text string
	play(t, func(c *script) {
		c.connect()
		seconds := 90.0
		c.set(func(s *RouteStatus) {
			s.LagKnown, s.Unread = true, &UnreadStatus{Age: &seconds, CaughtUp: &seconds, Loss: &seconds}
		})
		c.route.Delivered(time.Second)
		c.route.Wrote(time.Millisecond, 100)
		c.full(flowcontrol.BlockerAck)
		c.sleep(2 * time.Second)
		c.room()
		c.sleep(3 * time.Second)
		c.full(flowcontrol.BlockerAck)
		c.sleep(2 * time.Second) // and one that goes on
		values, _ := scrape(t, c.tel)
		text = "\n" + strings.Join(slices.Collect(maps.Keys(values)), "\n")
	})
	ours := regexp.MustCompile(`\b(?:flowcontrol|sluice|process|go)[_:][a-z0-9_:]+`)
	for file, least := range map[string]int{"dashboard.json": 10, "rules.yaml": 10, "README.md": 5} {
		b, err := os.ReadFile(filepath.Join("deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Compact(slices.Sorted(slices.Values(ours.FindAllString(string(b), -1))))
		if len(names) < least {
			t.Errorf("%s: only %d names were found", file, len(names))
		}
		for _, name := range names {
			recorded := strings.Contains(string(b), "record: "+name+"\n")
			if !recorded && !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text+"\n", "\n"+name+"\n") && !strings.Contains(text, name+`="`) {
				t.Errorf("%s: nothing in /metrics is called %s", file, name)
			}
		}
	}
}

// The dashboard is JSON in which no two panels share an id or lie upon each other.
func TestDashboardIsSound(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("deploy", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for i, p := range d.Panels {
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if p.ID == q.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%q and %q", p.Title, q.Title)
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%q does not fit", p.Title)
		}
	}
}
