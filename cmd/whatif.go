package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// paceView is what /status says of how fast messages come and are read.
type paceView struct {
	Arriving float64  `json:"arriving_per_second"`
	Read     float64  `json:"read_per_second"`
	Most     float64  `json:"most_per_second"`
	Left     *float64 `json:"left_seconds"`
	Limit    string   `json:"limit"`
}

// prediction is what becomes of a route whose sink is down for a while from now on. Seconds; what is absent is not
// known or does not come.
type prediction struct {
	Route    string   `json:"route"`
	Arriving float64  `json:"arriving_per_second"`
	Most     float64  `json:"most_per_second"`
	Lag      int64    `json:"lag"`                         // now
	Then     int64    `json:"lag_then"`                    // when the sink is back, beside what is in flight
	CaughtUp *float64 `json:"caught_up_seconds,omitempty"` // after that
	Left     *float64 `json:"left_seconds,omitempty"`      // from now until upstream removes the oldest unread message
	Limit    string   `json:"limit,omitempty"`             // what removes it
	Loss     bool     `json:"loss"`                        // unread data would be removed
	Unknown  string   `json:"unknown,omitempty"`           // why nothing can be said
}

// predict says what becomes of a route if what arrives goes on as it did, the sink is down for so long, and then takes
// messages as fast as was seen.
func predict(r *routeView, down time.Duration) prediction {
	p := prediction{Route: r.Route, Lag: r.Lag}
	switch {
	case r.Ended:
		p.Unknown = "it has ended"
	case r.State == "standby":
		p.Unknown = "another instance reads: ask that one"
	case !r.Known:
		p.Unknown = "how much is unread is not known"
	case r.Pace == nil:
		p.Unknown = "how fast messages come is not known yet: ask again in some seconds"
	}
	if p.Unknown != "" {
		return p
	}
	p.Arriving, p.Most, p.Left, p.Limit = r.Pace.Arriving, r.Pace.Most, r.Pace.Left, r.Pace.Limit
	// The window takes some before the source has to wait.
	room, behind := r.room(), float64(r.Lag)+p.Arriving*down.Seconds()
	p.Then = int64(math.Round(max(0, behind-room)))
	if spare := p.Most - p.Arriving; behind == 0 || spare > p.Arriving/10 { // else it has not been seen to read faster than they come
		seconds := 0.0
		if behind > 0 {
			seconds = behind / spare
		}
		p.CaughtUp = &seconds
	}
	if p.Left == nil || p.Then == 0 {
		return p
	}
	p.Loss = down.Seconds() > *p.Left
	// What is unread now was written over its age: where it is read more slowly than that, its last message is the
	// one that comes too late.
	if u := r.Unread; u != nil && u.Age != nil && p.Most > 0 && r.Lag > 0 {
		p.Loss = p.Loss || down.Seconds()+float64(r.Lag)/p.Most > *p.Left+*u.Age
	}
	return p
}

// room is how many messages the window takes until it is full, by the sizes of those that came.
func (r *routeView) room() float64 {
	free := float64(max(0, r.Window.Now-r.Window.Messages))
	if r.Counts.FetchedBytes > 0 {
		each := float64(r.Counts.FetchedBytes) / float64(r.Counts.Fetched)
		free = min(free, float64(max(0, r.Window.BytesLimit-r.Window.Bytes))/each)
	}
	return free
}

func (a *app) whatif() *cobra.Command {
	var down time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "whatif --sink-down TIME [ROUTE]",
		Short: "Tell what becomes of unread data if a sink is down for a while",
		Long: "Tells, from how the last half minute went, how far behind each route would be if its sink were down for so\n" +
			"long from now on, how long it would take to catch up at the fastest rate that was seen, and whether upstream\n" +
			"would remove data before it is read. Exit code 1 if it would, 0 if not, 3 if no daemon answers.",
		Example: "  sluice whatif --sink-down 40m",
		Args:    cobra.MaximumNArgs(1),
	}
	cl := a.clientFlags(c)
	c.Flags().DurationVar(&down, "sink-down", 0, "for how `long`, such as 40m")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		if down <= 0 {
			return exit(exitConfig, "for how long? Add --sink-down, such as --sink-down 40m")
		}
		all, err := cl.routes(c.Context(), args...)
		if err != nil {
			return err
		}
		predictions := make([]prediction, len(all))
		loss := false
		for i := range all {
			predictions[i] = predict(&all[i], down)
			loss = loss || predictions[i].Loss
		}
		if asJSON {
			err = json.NewEncoder(a.stdout).Encode(predictions)
		} else {
			err = printPredictions(a.stdout, predictions, down)
		}
		if err != nil {
			return &ExitError{exitFailed, err}
		}
		if loss {
			return &ExitError{Code: exitFailed}
		}
		return nil
	}
	return c
}

func printPredictions(out io.Writer, all []prediction, down time.Duration) error {
	fmt.Fprintf(out, "If the sink were down for %s from now on, and messages came as in the last half minute:\n", ago(down.Seconds()))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tLAG NOW\tCOME/s\tLAG THEN\tCAUGHT UP\tOLDEST UNREAD")
	for i := range all {
		p := &all[i]
		if p.Unknown != "" {
			fmt.Fprintf(w, "%s\t?\t?\t?\t?\t%s\n", p.Route, p.Unknown)
			continue
		}
		caughtUp := fmt.Sprintf("not known: no more than %s/s was seen", rate(p.Most))
		if p.CaughtUp != nil {
			caughtUp = "after " + ago(*p.CaughtUp)
		}
		fate := "is not removed, as far as is known"
		switch {
		case p.Loss:
			fate = "LOST: upstream removes it in " + ago(*p.Left) + " (" + p.Limit + ")"
		case p.Left != nil:
			fate = "is kept for " + ago(*p.Left) + " (" + p.Limit + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Route, humanize.Comma(p.Lag), rate(p.Arriving), humanize.Comma(p.Then), caughtUp, fate)
	}
	return w.Flush()
}
