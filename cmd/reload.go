package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/telemetry"
)

// reloadOrder is the body of a request to reload.
type reloadOrder struct{ operator }

// loggedFindings is how many findings the line of a reload that failed shows.
const loggedFindings = 20

func (a *app) reload() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running daemon read its configuration again",
		Long: "Has a running daemon read its files again, with their placeholders and secrets, as SIGHUP does. A route that has\n" +
			"not changed is not touched. The limit and the pause of a route are changed while it runs; any other change of\n" +
			"a route, of a connection that it uses or of a secret in one has it drain, commit and begin anew. Routes that are\n" +
			"gone drain and end, new ones begin. If anything is wrong, or something has changed that needs a restart\n" +
			"(admin, log, shutdown, telemetry), nothing is changed at all. Exit code 1 then.",
		Args: cobra.NoArgs,
	}
	cl := a.clientFlags(c)
	var order reloadOrder
	var asJSON bool
	order.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "the answer as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		body, err := cl.send(c.Context(), "/reload", order)
		if err != nil {
			return err
		}
		if asJSON {
			_, err = a.stdout.Write(body)
			return err
		}
		var done bridge.Reloaded
		if err := cl.decode(body, &done); err != nil {
			return err
		}
		printReloaded(a.stdout, &done)
		return nil
	}
	return c
}

func printReloaded(w io.Writer, done *bridge.Reloaded) {
	for _, one := range []struct {
		names []string
		what  string
	}{
		{done.Added, "added"}, {done.Removed, "removed: drained and ended"},
		{done.Restarted, "changed: drained, and begun anew at the committed position"}, {done.Changed, "changed while it runs"},
	} {
		for _, name := range one.names {
			fmt.Fprintf(w, "%s: %s\n", name, one.what)
		}
	}
	fmt.Fprintf(w, "%s unchanged\n", count(len(done.Unchanged), "route"))
	if done.ComeAgain > 0 {
		fmt.Fprintf(w, "%s could not be finished in time and come again\n", count(int(done.ComeAgain), "message"))
	}
}

func (a *admin) reload(w http.ResponseWriter, r *http.Request) {
	var order reloadOrder
	if !readOrder(w, r, &order) {
		return
	}
	done, err := a.reloads.reload(r.Context(), a.operator(&order.operator, r))
	if err != nil {
		writeText(w, http.StatusConflict, refusal(err))
		return
	}
	writeJSON(w, http.StatusOK, done)
}

// refusal says why nothing was changed.
func refusal(err error) string {
	var findings config.Findings
	if !errors.As(err, &findings) {
		return err.Error() + "\n"
	}
	var text strings.Builder
	findings.Print(&text)
	fmt.Fprintf(&text, "%s; nothing was changed\n", count(len(findings), "finding"))
	return text.String()
}

// reloader has a daemon's configuration read again, and knows which holds.
type reloader struct {
	read   func() (*config.Config, error) // nil: there is no file to be read
	apply  func(*config.Config, bridge.Operator) (*bridge.Reloaded, error)
	under  func() (over func())                   // is told that a reload is under way; nil: nobody is
	begun  func(*config.Config, *bridge.Reloaded) // what the daemon does when the routes have begun
	tel    *telemetry.Telemetry
	log    zerolog.Logger
	closed func() bool   // the daemon drains
	turn   chan struct{} // capacity 1: who holds it reloads

	mu    sync.Mutex
	cfg   *config.Config // that holds
	tried *config.Config // that was read last, whether it was right or not
	seen  stamps         // of the files of both, as they were then
	last  *telemetry.ReloadStatus
}

// reload reads the configuration again and has it hold, or changes nothing. Of two the later waits for its turn, until
// ctx ends; once it has that, it goes on to its end.
func (r *reloader) reload(ctx context.Context, by bridge.Operator) (*bridge.Reloaded, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.under != nil {
		defer r.under()()
	}
	done, err := r.attempt(by)
	r.tell(by, done, err)
	return done, err
}

func (r *reloader) attempt(by bridge.Operator) (*bridge.Reloaded, error) {
	switch {
	case r.closed():
		return nil, errors.New("the daemon drains and is about to end: nothing was changed")
	case r.read == nil:
		return nil, errors.New("the daemon runs by --from and --to: there is no file to read again. Give it one with -c FILE")
	}
	holds, seen := r.config(), stampsOf(r.watched())
	cfg, err := r.read()
	if cfg != nil {
		seen.add(cfg.Watched())
	}
	r.mu.Lock()
	r.tried, r.seen = cfg, seen
	r.mu.Unlock()
	if findings := (config.Findings)(nil); err != nil && !errors.As(err, &findings) {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	} else if err != nil {
		return nil, err
	}
	if fixed := needRestart(holds, cfg); len(fixed) > 0 {
		return nil, fmt.Errorf("%s cannot be changed while the daemon runs: nothing was changed. Restart it, or put that back and reload",
			strings.Join(fixed, ", "))
	}
	done, err := r.apply(cfg, by)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.cfg = cfg
	r.mu.Unlock()
	r.begun(cfg, done)
	return done, nil
}

// needRestart names what differs and cannot be changed while the daemon runs.
func needRestart(a, b *config.Config) []string {
	names := append(differ("admin", a.Admin, b.Admin), differ("log", a.Log, b.Log)...)
	if a.Bridge.Drain != b.Bridge.Drain {
		names = append(names, "shutdown.drain")
	}
	return append(names, differ("telemetry", a.Telemetry, b.Telemetry)...)
}

// differ names the keys that differ between two readings of a section: all there are, so that none is forgotten.
func differ(section string, a, b any) (names []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			key, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("yaml"), ",")
			names = append(names, section+"."+key)
		}
	}
	return names
}

// tell leaves the audit line of a reload, and what the status and the metrics show of the latest.
func (r *reloader) tell(by bridge.Operator, done *bridge.Reloaded, err error) {
	status := &telemetry.ReloadStatus{Time: time.Now(), Who: by.Who, Why: by.Why, OK: err == nil}
	e := r.log.Log().Str("level", "info").Bool("audit", true).Str("who", by.Who).Str("why", by.Why).Str("what", "reload")
	if err != nil {
		status.Error = err.Error()
		var findings config.Findings
		if errors.As(err, &findings) {
			e = e.Int("findings", len(findings)).Strs("at", firstOf(findings))
		}
		e.Str("outcome", "refused").Err(err).Msg("operator: reload: nothing was changed, the last good configuration holds")
	} else {
		e.Str("outcome", "done").Strs("added", done.Added).Strs("removed", done.Removed).Strs("restarted", done.Restarted).
			Strs("changed", done.Changed).Int("unchanged", len(done.Unchanged)).Int64("come_again", done.ComeAgain).Msg("operator: reload")
	}
	r.tel.Reloaded(status.Time, status.OK)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = status
}

func firstOf(findings config.Findings) (lines []string) {
	for i := range findings[:min(len(findings), loggedFindings)] {
		lines = append(lines, findings[i:i+1].Error())
	}
	return lines
}

// latest is what the status shows of the latest reload; nil: there was none. r may be nil.
func (r *reloader) latest() *telemetry.ReloadStatus {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// config is the configuration that holds.
func (r *reloader) config() *config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg
}
