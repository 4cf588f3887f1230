package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// maxCauses bounds how many causes are told apart; the rest is counted together.
	maxCauses = 1000
	someCause = "(more causes)"
)

// letterView is what a list shows of a letter: no payload.
type letterView struct {
	Position    string    `json:"position"` // in the dead-letter target
	Source      string    `json:"source"`   // where the message was read
	Origin      string    `json:"origin,omitempty"`
	Time        time.Time `json:"time"` // when it was refused
	Attempts    int       `json:"attempts"`
	Redriven    int       `json:"redriven"` // how often
	Waits       bool      `json:"waits"`    // the next redrive comes to it
	Undecoded   bool      `json:"undecoded,omitempty"`
	Reason      string    `json:"reason"`
	Subject     string    `json:"subject,omitempty"`
	KeyBytes    int       `json:"key_bytes"`
	ValueBytes  int       `json:"value_bytes"`
	Headers     int       `json:"headers"`
	MessageTime time.Time `json:"message_time,omitzero"`
}

func viewOf(partition string, offset int64, l *bridge.Letter) letterView {
	m := &l.Message
	return letterView{
		Position: placeOf(partition, offset), Source: placeOf(l.Partition, m.Offset), Origin: l.Origin,
		Time: l.Time, Attempts: l.Attempts, Redriven: l.Redriven, Undecoded: l.Undecoded, Reason: l.Reason,
		Subject: m.Subject, KeyBytes: len(m.Key), ValueBytes: len(m.Value), Headers: len(m.Headers), MessageTime: m.Time,
	}
}

// letterList is what list finds.
type letterList struct {
	Route   string `json:"route"`
	Letters int    `json:"letters"`
	Waiting int    `json:"waiting"` // of them, for the next redrive
	// Others are letters of other routes, NoLetters what is none, or of a later version.
	Others    int          `json:"others"`
	NoLetters int          `json:"no_letters"`
	Causes    []causeCount `json:"causes"`
	Newest    []letterView `json:"newest"`
}

type causeCount struct {
	Cause string `json:"cause"`
	Count int    `json:"count"`
}

func (a *app) listLetters() *cobra.Command {
	var f lettersFlags
	var reason string
	var limit int
	var asJSON bool
	c := &cobra.Command{
		Use:   "list ROUTE -c FILE",
		Short: "Count a route's dead letters by cause and show the newest, without what they hold",
		Args:  cobra.ExactArgs(1),
	}
	f.add(c)
	c.Flags().StringVar(&reason, "reason", "", "only letters whose reason holds `text`")
	c.Flags().IntVar(&limit, "limit", 20, "show at most so many of the newest")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := a.interruptible(c.Context())
		defer stop()
		l, err := a.openLetters(ctx, &f, args[0])
		if err != nil {
			return err
		}
		defer l.close(ctx)
		list := newLetterList(args[0], reason, limit)
		if _, list.from, err = l.readBack(ctx); err != nil {
			return err
		}
		if err := l.read(ctx, nil, list.take); err != nil {
			return err
		}
		list.sort()
		if asJSON {
			err = json.NewEncoder(a.stdout).Encode(&list.letterList)
		} else {
			err = list.print(a.stdout)
		}
		if err != nil {
			return &ExitError{exitFailed, err}
		}
		return nil
	}
	return c
}

// collector makes a letterList.
type collector struct {
	letterList
	reason string
	limit  int
	causes map[string]int
	from   map[string]int64 // how far redrives came
}

func newLetterList(route, reason string, limit int) *collector {
	return &collector{letterList: letterList{Route: route}, reason: reason, limit: max(0, limit), causes: map[string]int{}}
}

func (c *collector) take(partition string, m *connectors.Message) error {
	l, fate := bridge.FateOf(c.Route, m)
	switch {
	case fate == bridge.Others:
		c.Others++
		return nil
	case fate == bridge.NoLetter:
		c.NoLetters++
		return nil
	case !strings.Contains(l.Reason, c.reason):
		return nil
	}
	c.Letters++
	cause := l.Cause()
	if _, known := c.causes[cause]; !known && len(c.causes) >= maxCauses {
		cause = someCause
	}
	c.causes[cause]++
	view := viewOf(partition, m.Offset, &l)
	if view.Waits = m.Offset >= c.from[partition]; view.Waits {
		c.Waiting++
	}
	c.Newest = append(c.Newest, view)
	if len(c.Newest) > 2*c.limit+100 {
		c.cut()
	}
	return nil
}

// cut leaves the newest.
func (c *collector) cut() {
	slices.SortStableFunc(c.Newest, func(a, b letterView) int { return b.Time.Compare(a.Time) })
	c.Newest = slices.Clip(c.Newest[:min(len(c.Newest), c.limit)])
}

func (c *collector) sort() {
	c.cut()
	c.Causes = countsOf(c.causes)
}

// countsOf sorts causes, the most frequent first.
func countsOf(causes map[string]int) []causeCount {
	all := make([]causeCount, 0, len(causes))
	for cause, n := range causes {
		all = append(all, causeCount{cause, n})
	}
	slices.SortFunc(all, func(a, b causeCount) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Cause, b.Cause)
	})
	return all
}

func (c *collector) print(out io.Writer) error {
	fmt.Fprintf(out, "%s of %s", count(c.Letters, "dead letter"), c.Route)
	if c.Letters > 0 {
		fmt.Fprintf(out, ", of which %s for a redrive", verb(c.Waiting, "waits", "wait"))
	}
	if c.Others+c.NoLetters > 0 {
		fmt.Fprintf(out, "; beside them %d of other routes and %d that are none", c.Others, c.NoLetters)
	}
	fmt.Fprintln(out)
	if c.Letters == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nCOUNT\tCAUSE")
	for _, cause := range c.Causes {
		fmt.Fprintf(w, "%s\t%s\n", humanize.Comma(int64(cause.Count)), plain(cause.Cause))
	}
	fmt.Fprintln(w, "\nPOSITION\tREFUSED AT\tREAD AT\tATTEMPTS\tREDRIVEN\tREASON")
	for i := range c.Newest {
		l := &c.Newest[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", l.Position, at(l.Time), plain(l.Source), l.Attempts, l.Redriven, plain(l.Reason))
	}
	return w.Flush()
}

func verb(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}
