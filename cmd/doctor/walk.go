package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sluice-bridge/sluice/connectors"
)

// Walk asks chains of checks.
type Walk struct {
	Only    string        // a code, or the part before its dot: only such checks, and what they depend on; empty: all
	Timeout time.Duration // of each check
	Tell    func(Result)

	Summary Summary
	codes   []string // that were met
	chosen  bool     // Only has met one
	asked   map[question][]connectors.Finding
	skipped map[question]bool
}

// question is what is asked once. Connections of other names may log in with other passwords.
type question struct{ code, about, connection string }

// Place is where a chain stands in the configuration.
type Place struct {
	End        string // such as routes.orders.source.kafka (sluice.yaml:7)
	Connection string // such as connections.kafka-eu; empty: none is named
}

// Chain asks the checks of one end in their order. Those of a connection that another end has too are not asked,
// nor told, again.
func (w *Walk) Chain(ctx context.Context, at Place, checks []connectors.Check) {
	wanted := w.wanted(checks)
	failed := map[string]string{} // by code, the code at the root of it
	for i := range checks {
		c := &checks[i]
		if !wanted[c.Code] || ctx.Err() != nil {
			continue
		}
		if root := firstOf(failed, c.After); root != "" {
			failed[c.Code] = root
			w.skip(c, at, root)
			continue
		}
		found, known := w.ask(ctx, c, at)
		for _, f := range found {
			if f.Level == connectors.Failed {
				failed[c.Code] = c.Code
			}
			if !known {
				w.tell(c, at, levelOf(f.Level), f)
			}
		}
	}
}

func firstOf(failed map[string]string, codes []string) string {
	for _, c := range codes {
		if root := failed[c]; root != "" {
			return root
		}
	}
	return ""
}

// ask asks a check unless it is of a connection and was asked for another end.
func (w *Walk) ask(ctx context.Context, c *connectors.Check, at Place) (found []connectors.Finding, known bool) {
	q := question{c.Code, c.About, at.Connection}
	if found, known = w.asked[q]; known && c.Connection {
		return found, true
	}
	limited, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	found = c.Ask(limited)
	if len(found) == 0 {
		found = connectors.Found(connectors.Fine, "", "%s", c.About)
	}
	if w.asked == nil {
		w.asked = map[question][]connectors.Finding{}
	}
	w.asked[q] = found
	return found, false
}

// skip tells that a check was not asked, and of one of a connection once.
func (w *Walk) skip(c *connectors.Check, at Place, root string) {
	q := question{c.Code, c.About, at.Connection}
	if c.Connection && w.skipped[q] {
		return
	}
	if w.skipped == nil {
		w.skipped = map[question]bool{}
	}
	w.skipped[q] = true
	w.tell(c, at, Skipped, connectors.Finding{Text: "skipped, for " + root + " has to be mended first"})
}

func (w *Walk) tell(c *connectors.Check, at Place, level Level, f connectors.Finding) {
	place := at.End
	if c.Connection {
		place = cmp.Or(at.Connection, at.End)
	}
	w.Summary.add(level)
	w.Tell(Result{Code: c.Code, Level: level, About: c.About, Place: place, Text: plain(f.Text), Way: plain(f.Way)})
}

// mostText bounds what one finding says: some of it comes from brokers.
const mostText = 2000

// plain keeps what a broker says from moving a terminal's cursor, or filling it.
func plain(text string) string {
	if len(text) > mostText {
		text = strings.ToValidUTF8(text[:mostText], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, text)
}

// wanted are the codes of the checks that Only chooses, and of those they depend on.
func (w *Walk) wanted(checks []connectors.Check) map[string]bool {
	wanted := map[string]bool{}
	for i := range checks {
		if code := checks[i].Code; !slices.Contains(w.codes, code) {
			w.codes = append(w.codes, code)
		}
	}
	for i := len(checks) - 1; i >= 0; i-- {
		c := &checks[i]
		kind, _, _ := strings.Cut(c.Code, ".")
		chosen := w.Only == "" || c.Code == w.Only || kind == w.Only
		w.chosen = w.chosen || chosen
		if chosen || wanted[c.Code] {
			wanted[c.Code] = true
			for _, a := range c.After {
				wanted[a] = true
			}
		}
	}
	return wanted
}

// Unknown returns the codes that were met, if Only is none of them.
func (w *Walk) Unknown() []string {
	if w.chosen {
		return nil
	}
	return w.codes
}
