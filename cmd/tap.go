package cmd

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
)

const (
	// longestTap is how long a tap may last: one that was forgotten ends.
	longestTap = time.Hour
	// tapPatience is how long a reader may take nothing before it counts as gone.
	tapPatience = 30 * time.Second
	// tapEvery is how often the counts are told where nothing is shown.
	tapEvery = time.Second
)

// tapLine is one line of what a tap answers.
type tapLine struct {
	Seen    int64          `json:"seen"`
	Shown   int64          `json:"shown"`
	Message *bridge.Tapped `json:"message,omitempty"`
}

func (a *app) tap() *cobra.Command {
	var limit int
	var duration time.Duration
	var stages []string
	var asJSON bool
	var who operator
	c := &cobra.Command{
		Use:   "tap ROUTE",
		Short: "Show messages of a route as they pass",
		Long: "Shows messages of a route as they pass: those that its source has returned, those that have passed its filter and\n" +
			"are mapped, where it does either, and those that were rejected. It is a sample of at most 100 a second, and never\n" +
			"holds the route up; the last line says how many were not shown. Keys, values and what headers hold are shown only where the daemon's configuration says\n" +
			"admin: {tap: payload}; but why one was rejected may name the subject or topic that was made of its key.",
		Args: cobra.ExactArgs(1),
	}
	cl := a.clientFlags(c)
	who.flags(c)
	c.Flags().IntVar(&limit, "limit", 0, "end after so many messages; 0: not for that")
	c.Flags().DurationVar(&duration, "duration", longestTap, "end after so long")
	c.Flags().StringSliceVar(&stages, "stage", nil, "only at these `stages`: "+strings.Join(bridge.Stages(), ", "))
	c.Flags().BoolVar(&asJSON, "json", false, "a line of JSON each, with how many have passed and were shown")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		query := url.Values{
			"stage": stages, "limit": {strconv.Itoa(limit)}, "duration": {duration.String()},
		}
		who.add(query)
		answer, err := cl.open(ctx, http.MethodGet, "/routes/"+url.PathEscape(args[0])+"/tap?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		defer answer.Close()
		lines := bufio.NewScanner(answer)
		lines.Buffer(nil, 4<<20) // what a message holds is cut, and escaped
		var last tapLine
		for lines.Scan() {
			last = tapLine{}
			if err := cl.decode(lines.Bytes(), &last); err != nil {
				return err
			}
			switch {
			case asJSON:
				fmt.Fprintf(a.stdout, "%s\n", lines.Bytes())
			case last.Message != nil:
				fmt.Fprintln(a.stdout, tapped(last.Message))
			}
		}
		fmt.Fprintf(a.stderr, "%d of %d messages that passed were shown\n", last.Shown, last.Seen)
		if err := lines.Err(); err != nil && ctx.Err() == nil {
			return exit(exitEnvironment, "the tap ended: %w", err)
		}
		return nil
	}
	return c
}

// tapped is a message in a line.
func tapped(m *bridge.Tapped) string {
	text := fmt.Sprintf("%s  %-8s  %s @%d  %s  key %d B  value %d B", m.Time.Local().Format("15:04:05.000"), m.Stage,
		m.Partition, m.Offset, m.Subject, m.KeyBytes, m.ValueBytes)
	if !m.Stored.IsZero() {
		text += "  stored " + ago(m.Time.Sub(m.Stored).Seconds()) + " before"
	}
	headers := m.Headers
	if m.Payload != nil {
		headers = m.Payload.Headers
	}
	if len(headers) > 0 {
		text += "  [" + strings.Join(headers, ", ") + "]"
	}
	if m.Error != "" {
		text += "  " + m.Error
	}
	if p := m.Payload; p != nil {
		text += fmt.Sprintf("  %s = %s", p.Key, p.Value)
	}
	return plain(text)
}

// tapLimits reads how long a tap lasts at most.
func tapLimits(r *http.Request) (limit int64, duration time.Duration, err error) {
	duration = longestTap
	if text := r.FormValue("limit"); text != "" {
		if limit, err = strconv.ParseInt(text, 10, 64); err != nil || limit < 0 {
			return 0, 0, fmt.Errorf("limit %.40q is not a number of messages", text)
		}
	}
	if text := r.FormValue("duration"); text != "" {
		if duration, err = time.ParseDuration(text); err != nil || duration <= 0 || duration > longestTap {
			return 0, 0, fmt.Errorf("duration %.40q is not one, such as 30s, of at most %s", text, longestTap)
		}
	}
	return limit, duration, nil
}

func (a *admin) tap(w http.ResponseWriter, r *http.Request) {
	limit, duration, err := tapLimits(r)
	if err != nil {
		writeText(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	var t *bridge.Tap
	name := r.PathValue("name")
	if a.mayTap == config.TapOff {
		err = errors.New("the configuration says admin: {tap: off}")
	} else {
		t, err = a.routes.Tap(name, a.mayTap == config.TapPayload, r.Form["stage"]...)
	}
	a.audit(a.operator(queried(r), r), "tap "+name+": "+a.mayTap, err)
	if err != nil {
		writeText(w, http.StatusConflict, err.Error()+"\n")
		return
	}
	defer t.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	a.follow(w, r, t, limit, duration)
}

// follow writes what a tap shows until it is to end or the reader is gone, who takes as long as he likes for it.
func (a *admin) follow(w http.ResponseWriter, r *http.Request, t *bridge.Tap, limit int64, duration time.Duration) {
	out, lines := http.NewResponseController(w), json.NewEncoder(w)
	end, tick := time.NewTimer(duration), time.NewTicker(tapEvery)
	defer end.Stop()
	defer tick.Stop()
	var shown int64
	// Only a real connection has deadlines, and one that is gone fails at the next line.
	tell := func(m *bridge.Tapped) bool {
		_ = out.SetWriteDeadline(time.Now().Add(tapPatience))
		return lines.Encode(tapLine{t.Seen(), shown, m}) == nil && out.Flush() == nil
	}
	_ = out.SetReadDeadline(time.Time{})
	for going := tell(nil); going && (limit == 0 || shown < limit); {
		select {
		case m := <-t.Messages():
			shown++
			going = tell(&m)
		case <-tick.C:
			going = tell(nil)
		case <-end.C:
			going = false
		case <-t.Over():
			going = false
		case <-r.Context().Done():
			return
		}
	}
	tell(nil)
}
