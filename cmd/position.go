package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
)

// positionPatience is how long brokers may take to tell their positions.
const positionPatience = time.Minute

// positionOrder is the body of a request to set a position.
type positionOrder struct {
	operator
	To        string `json:"to"`
	Partition string `json:"partition,omitempty"`
	DryRun    bool   `json:"dry_run,omitempty"`
	Skip      bool   `json:"skip,omitempty"`
}

// positionAnswer is what a request to see or to set positions answers.
type positionAnswer struct {
	Partitions []bridge.PositionStatus `json:"partitions,omitempty"`
	Moves      []bridge.PositionMove   `json:"moves,omitempty"`
}

func (a *app) position() *cobra.Command {
	var order positionOrder
	var asJSON bool
	c := &cobra.Command{
		Use:   "position ROUTE [show | set --to WHERE]",
		Short: "See or set where a route goes on",
		Long: "Shows where a route goes on in each partition, or sets it. To set it the route is drained and closed,\n" +
			"and goes on at the new position; one that is halted goes on too. Going back doubles what was delivered\n" +
			"since; going forward over messages that were never delivered needs --skip.\n\n" +
			"WHERE is earliest, latest, an offset, a time, so long ago, or sink: before the first message that the\n" +
			"sink does not hold, by the Sluice-Origin headers there.",
		Example: "  sluice position orders\n" +
			"  sluice position orders set --to -2h --dry-run\n" +
			"  sluice position orders set --to 41 --partition 3 --reason \"replay after the bad deploy\"",
		Args: cobra.RangeArgs(1, 2),
	}
	cl := a.clientFlags(c)
	order.flags(c)
	flags := c.Flags()
	flags.StringVar(&order.To, "to", "", "`where`: earliest, latest, sink, an offset, 2026-01-31T08:00:00Z, or -2h")
	flags.StringVar(&order.Partition, "partition", "", "only this `partition`: its name or number")
	flags.BoolVar(&order.DryRun, "dry-run", false, "tell what would be done, and do nothing")
	flags.BoolVar(&order.Skip, "skip", false, "messages that were never delivered may be passed over")
	flags.BoolVar(&asJSON, "json", false, "the answer as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		set := len(args) == 2 && args[1] == "set"
		var body []byte
		var err error
		switch {
		case len(args) == 2 && args[1] != "set" && args[1] != "show":
			return exit(exitConfig, "%q is neither show nor set", args[1])
		case set && order.To == "":
			return exit(exitConfig, "where to? Add --to, such as --to -2h")
		case !set && order.To != "":
			return exit(exitConfig, "to set the position write: sluice position %s set --to %s", args[0], order.To)
		case set:
			body, err = cl.post(c.Context(), args[0], "position", order)
		default:
			ctx, cancel := context.WithTimeout(c.Context(), positionPatience)
			defer cancel()
			body, err = cl.call(ctx, http.MethodGet, "/routes/"+url.PathEscape(args[0])+"/position", nil)
		}
		if err != nil {
			return err
		}
		if asJSON {
			_, err = a.stdout.Write(body)
			return err
		}
		var answer positionAnswer
		if err := cl.decode(body, &answer); err != nil {
			return err
		}
		if !set {
			return printPositions(a.stdout, answer.Partitions, time.Now())
		}
		if err := printMoves(a.stdout, answer.Moves); err != nil {
			return err
		}
		if order.DryRun {
			fmt.Fprintln(a.stdout, "dry run: nothing was changed")
		} else {
			fmt.Fprintf(a.stdout, "%s goes on there\n", args[0])
		}
		return nil
	}
	return c
}

func printPositions(out io.Writer, all []bridge.PositionStatus, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PARTITION\tFIRST\tCOMMITTED\tEND\tLAG\tNEXT MESSAGE")
	for i := range all {
		p := &all[i]
		committed, next := "none", "-"
		if p.Known {
			committed = humanize.Comma(p.Committed)
		}
		if !p.Time.IsZero() {
			next = fmt.Sprintf("%s (%s)", p.Time.Local().Format(time.DateTime), humanize.RelTime(p.Time, now, "ago", "from now"))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Partition, humanize.Comma(p.First), committed, humanize.Comma(p.End), humanize.Comma(p.Lag), next)
	}
	return w.Flush()
}

func printMoves(out io.Writer, moves []bridge.PositionMove) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PARTITION\tBEFORE\tAFTER\tDOUBLED AT MOST\tSKIPPED\t")
	for i := range moves {
		m := &moves[i]
		before, note := "none", m.Note
		if m.Known {
			before = humanize.Comma(m.Before)
		}
		if m.Skipped > 0 {
			note = "never delivered: --skip loses them for this sink"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Partition, before, humanize.Comma(m.After), humanize.Comma(m.Doubled), humanize.Comma(m.Skipped), note)
	}
	return w.Flush()
}

// patient lets a handler take longer than others: it asks brokers, or drains a route. It ends when the client
// is gone.
func patient(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		// Only a real connection has deadlines.
		_, _ = c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})
		next(w, r)
	}
}

func (a *admin) positions(w http.ResponseWriter, r *http.Request) {
	all, err := a.routes.Positions(r.Context(), r.PathValue("name"))
	if err != nil {
		writeText(w, http.StatusConflict, err.Error()+"\n")
		return
	}
	writeJSON(w, http.StatusOK, positionAnswer{Partitions: all})
}

func (a *admin) setPosition(w http.ResponseWriter, r *http.Request) {
	var order positionOrder
	if !readOrder(w, r, &order) {
		return
	}
	moves, err := a.routes.SetPosition(r.Context(), r.PathValue("name"), bridge.PositionOrder{
		To: order.To, Partition: order.Partition, DryRun: order.DryRun, Skip: order.Skip, By: a.operator(&order.operator, r),
	})
	if err != nil {
		writeText(w, http.StatusConflict, err.Error()+"\n")
		return
	}
	writeJSON(w, http.StatusOK, positionAnswer{Moves: moves})
}
