package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/telemetry"
)

// client talks to the admin listener of a running daemon.
type client struct {
	url   string
	token string
}

const maxAnswer = 16 << 20

func (a *app) clientFlags(c *cobra.Command) *client {
	cl := &client{}
	address, _ := a.env("SLUICE_URL")
	if address == "" {
		address = "http://" + config.DefaultListen
	}
	cl.token, _ = a.env("SLUICE_TOKEN")
	c.Flags().StringVar(&cl.url, "url", address, "admin `address` of the daemon; also SLUICE_URL, and SLUICE_TOKEN for its token")
	return cl
}

// get asks the daemon for a path.
func (c *client) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.call(ctx, http.MethodGet, path, nil)
}

// post tells the daemon to do something to a route. It waits for as long as that takes.
func (c *client) post(ctx context.Context, route, what string, order any) ([]byte, error) {
	return c.send(ctx, "/routes/"+url.PathEscape(route)+"/"+what, order)
}

// send tells the daemon to do something. It waits for as long as that takes.
func (c *client) send(ctx context.Context, path string, order any) ([]byte, error) {
	body, err := json.Marshal(order)
	if err != nil {
		return nil, &ExitError{exitFailed, err}
	}
	return c.call(ctx, http.MethodPost, path, body)
}

// call asks the daemon. Its error has the exit code that fits.
func (c *client) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	response, err := c.open(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer response.Close()
	answer, err := io.ReadAll(io.LimitReader(response, maxAnswer))
	if err != nil {
		return nil, exit(exitEnvironment, "the answer of %s ended early: %w", c.url, err)
	}
	return answer, nil
}

// decode reads an answer. Its error has the exit code that fits.
func (c *client) decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return exit(exitEnvironment, "what answers at %s is not sluice: %w", c.url, err)
	}
	return nil
}

// open asks the daemon, and returns its answer as it comes.
func (c *client) open(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	base := c.url
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, exit(exitConfig, "--url: %w", err)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, exit(exitEnvironment, "no daemon answers at %s: %w\n  → is it running, and is --url its admin.listen?", base, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, exit(exitEnvironment, "the answer of %s ended early: %w", base, err)
	}
	return nil, &ExitError{exitFailed, errors.New(strings.TrimSpace(string(answer)))}
}

// routes returns what the daemon says of its routes, or of those that are named.
func (c *client) routes(ctx context.Context, named ...string) ([]routeView, error) {
	body, err := c.get(ctx, "/status")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Routes []routeView `json:"routes"`
	}
	if err := c.decode(body, &answer); err != nil {
		return nil, err
	}
	if len(named) == 0 {
		return answer.Routes, nil
	}
	var chosen []routeView
	for i := range answer.Routes {
		if slices.Contains(named, answer.Routes[i].Route) {
			chosen = append(chosen, answer.Routes[i])
		}
	}
	if len(chosen) < len(named) {
		return nil, exit(exitFailed, "there is no route %q", named[0])
	}
	return chosen, nil
}

// routeView is what `status` shows of a route.
type routeView struct {
	Route    string      `json:"route"`
	Source   string      `json:"source"`
	Sink     string      `json:"sink"`
	State    string      `json:"state"`
	Since    time.Time   `json:"since"`
	Cause    string      `json:"cause"`
	Blocker  string      `json:"blocker"`
	Holder   string      `json:"holder"`
	Evidence string      `json:"evidence"`
	Detail   string      `json:"detail"`
	Owner    string      `json:"owner"`
	Down     time.Time   `json:"down"`
	Ended    bool        `json:"ended"`
	Lag      int64       `json:"lag"`
	Known    bool        `json:"lag_known"`
	Unread   *unreadView `json:"unread"`
	Pace     *paceView   `json:"pace"`
	Halted   *struct {
		Reason string `json:"reason"`
		Way    string `json:"way"`
	} `json:"halted"`
	Paused *pausedView `json:"paused"`
	Counts struct {
		Acknowledged int64 `json:"acknowledged_messages"`
		Fetched      int64 `json:"fetched_messages"`
		FetchedBytes int64 `json:"fetched_bytes"`
	} `json:"counts"`
	Window struct {
		Messages   int64 `json:"messages"`
		Bytes      int64 `json:"bytes"`
		BytesLimit int64 `json:"bytes_limit"`
		Now        int64 `json:"messages_now"`
		Limit      int64 `json:"messages_limit"`
		Asked      int64 `json:"messages_asked"`
		// RoundTrip is how long the least in flight takes to be acknowledged, in seconds.
		RoundTrip float64 `json:"round_trip_seconds"`
	} `json:"window"`
}

func (a *app) status() *cobra.Command {
	var asJSON bool
	var until readiness
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the routes of a running daemon",
		Long: "Shows the routes of a running daemon. Exit code 0 if all are well, 1 if one is disconnected or halted,\n" +
			"3 if no daemon answers. With --wait ready it first waits until /readyz says so: 1 if the daemon answers\n" +
			"and is not ready in time, 3 if none answers.",
		Args: cobra.NoArgs,
	}
	cl := a.clientFlags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "everything, as JSON")
	until.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := until.await(c.Context(), cl); err != nil {
			return err
		}
		body, err := cl.get(c.Context(), "/status")
		if err != nil {
			return err
		}
		var answer struct {
			Routes []routeView             `json:"routes"`
			Reload *telemetry.ReloadStatus `json:"reload"`
		}
		if err := cl.decode(body, &answer); err != nil {
			return err
		}
		if asJSON {
			_, err = a.stdout.Write(body)
		} else {
			err = printStatus(a.stdout, answer.Routes, time.Now())
		}
		if l := answer.Reload; l != nil && !l.OK && !asJSON {
			fmt.Fprintf(a.stdout, "the configuration holds that was read before: the reload at %s by %s was refused: %s\n  → mend that, then: sluice reload\n",
				l.Time.Local().Format(time.DateTime), l.Who, l.Error)
		}
		if err != nil {
			return &ExitError{exitFailed, err}
		}
		for i := range answer.Routes {
			if !answer.Routes[i].Down.IsZero() {
				return &ExitError{Code: exitFailed}
			}
		}
		return nil
	}
	return c
}

func printStatus(out io.Writer, all []routeView, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tFROM\tTO\tSTATE\tFOR\tWINDOW\tLAG\tMOVED\tHELD BACK BY")
	for i := range all {
		r := &all[i]
		lag, window, state := "?", "-", r.State
		if r.Known {
			lag = humanize.Comma(r.Lag)
			if words := r.Unread.words(); words != "" {
				lag += ", " + words
			}
		}
		if r.Window.Now > 0 {
			window = fmt.Sprintf("%d %% of %d", 100*r.Window.Messages/r.Window.Now, r.Window.Now)
		}
		if r.Ended {
			state = "ended"
		}
		held := strings.Join(nonEmpty(r.Cause, r.Blocker, r.Holder, r.Evidence, r.Owner, r.Detail), " · ")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Route, r.Source, r.Sink, state,
			now.Sub(r.Since).Round(time.Second), window, lag, humanize.Comma(r.Counts.Acknowledged), held)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range all {
		if w := &all[i].Window; w.Asked > w.Limit {
			fmt.Fprintf(out, "%s: a round trip of %s asks for a window of about %d messages; it may have %d\n  → window.max_messages\n", all[i].Route,
				time.Duration(w.RoundTrip*float64(time.Second)).Round(100*time.Microsecond), w.Asked, w.Limit)
		}
		if loss := all[i].Unread.loss(); loss != "" {
			fmt.Fprintf(out, "%s: %s\n  → let the sink take messages, or raise that limit\n", all[i].Route, loss)
		}
		if h := all[i].Halted; h != nil {
			fmt.Fprintf(out, "%s is halted: %s\n  → %s\n", all[i].Route, h.Reason, h.Way)
		}
		if words := all[i].Paused.words(); words != "" {
			fmt.Fprintf(out, "%s is %s\n  → sluice resume %s\n", all[i].Route, words, all[i].Route)
		}
	}
	return nil
}

// pausedView is who has paused a route.
type pausedView struct {
	Who string `json:"who"`
	Why string `json:"why"`
}

// words says it; nil: nobody has.
func (p *pausedView) words() string {
	if p == nil {
		return ""
	}
	return "paused by " + p.Who + ": " + p.Why
}

func nonEmpty(words ...string) []string {
	var kept []string
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}
