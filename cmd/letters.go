package cmd

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
)

func (a *app) deadLetters() *cobra.Command {
	c := &cobra.Command{
		Use:     "dead-letters",
		Aliases: []string{"dlq"},
		Short:   "Look at the messages that a route's sink refused, and redrive them",
		Long: "Looks at the messages that a route's sink refused, and redrives them. Each command connects by itself with\n" +
			"the configuration that -c names; no daemon need run. A position is PARTITION@OFFSET, as list shows it.",
	}
	c.AddCommand(a.listLetters(), a.showLetter(), a.redriveLetters())
	return c
}

// letters are a route's dead letters, read from outside.
type letters struct {
	route *bridge.RouteConfig
	env   connectors.Env
	log   connectors.Log
	held  []connectors.Range
}

// lettersFlags are the flags that all commands about dead letters have.
type lettersFlags struct{ given config.Given }

func (f *lettersFlags) add(c *cobra.Command) {
	fileFlags(c, &f.given)
	if err := c.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag is there
	}
}

// openLetters reads the configuration and looks at what a route's dead-letter target holds. The caller
// closes it.
func (a *app) openLetters(ctx context.Context, f *lettersFlags, name string) (*letters, error) {
	cfg, err := a.load(&f.given)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(cfg.Bridge.Routes, func(r bridge.RouteConfig) bool { return r.Name == name })
	switch {
	case at < 0:
		names := make([]string, len(cfg.Bridge.Routes))
		for i := range cfg.Bridge.Routes {
			names[i] = cfg.Bridge.Routes[i].Name
		}
		return nil, exit(exitConfig, "there is no route %q\n  → there is %s", name, strings.Join(names, ", "))
	case cfg.Bridge.Routes[at].DeadLetter == nil:
		return nil, exit(exitConfig, "the route %q has no dead letters\n  → add dead_letter: {sink: {...}} to it", name)
	case cfg.Bridge.Routes[at].DeadLetter.Log == nil:
		return nil, exit(exitConfig, "the dead letters of the route %q go where they cannot be read again", name)
	}
	rc := &cfg.Bridge.Routes[at]
	l := &letters{route: rc, env: outside(rc, rc.DeadLetterMap)}
	if l.log, err = rc.DeadLetter.Log(ctx, l.env); err != nil {
		return nil, &ExitError{exitEnvironment, err}
	}
	if l.held, err = l.log.Ranges(ctx); err != nil {
		l.close(ctx)
		return nil, exit(exitEnvironment, "the dead letters of %s: %w", name, err)
	}
	return l, nil
}

func (l *letters) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	_ = l.log.Close(ctx) // it was only read
}

// read gives everything from the positions in from on, or that is there, to visit.
func (l *letters) read(ctx context.Context, from map[string]int64, visit func(partition string, m *connectors.Message) error) error {
	for _, r := range l.held {
		err := l.log.Read(ctx, r.Partition, max(r.First, from[r.Partition]), r.End, func(m *connectors.Message) error { return visit(r.Partition, m) })
		if err != nil {
			return exit(exitEnvironment, "the dead letters of %s: %w", l.route.Name, err)
		}
	}
	return nil
}

// outside is what an end of a route is opened with to be read from outside.
func outside(rc *bridge.RouteConfig, m connectors.Map) connectors.Env {
	return connectors.Env{
		Route: rc.Name, Instance: instance(), Logger: zerolog.Nop(), Tracer: noop.NewTracerProvider(), Host: nobody{}, Map: m,
		Headers: true, Window: connectors.Room{Messages: int(rc.Window.Messages), Bytes: rc.Window.Bytes}, AcceptLoss: rc.AcceptLoss,
	}
}

// nobody is the host of what is read from outside: there is no route to tell.
type nobody struct{}

var errNobody = errors.New("nothing is moved here")

// Assign implements connectors.Host.
func (nobody) Assign(context.Context, string) (int64, bool, error) { return 0, false, errNobody }

// Revoke implements connectors.Host.
func (nobody) Revoke(context.Context, ...string) {}

// Unpositioned implements connectors.Host.
func (nobody) Unpositioned(context.Context, connectors.Range) error { return errNobody }

// Gap implements connectors.Host.
func (nobody) Gap(string, int64, int64) error { return errNobody }

// Report implements connectors.Host.
func (nobody) Report(connectors.Event) {}

// interruptible returns a context that a signal ends; a second one ends the process.
func (a *app) interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.signals == nil {
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		return ctx, stop
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-a.signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// placeOf writes a position as the commands take it.
func placeOf(partition string, offset int64) string {
	return partition + "@" + strconv.FormatInt(offset, 10)
}

// parsePlace is the inverse.
func parsePlace(text string) (partition string, offset int64, err error) {
	at := strings.LastIndexByte(text, '@')
	if at > 0 {
		if offset, err = strconv.ParseInt(text[at+1:], 10, 64); err == nil {
			return text[:at], offset, nil
		}
	}
	return "", 0, fmt.Errorf("%q is not a position; write PARTITION@OFFSET, as dead-letters list shows it", text)
}

// at writes a time for people.
func at(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// plain is a text from outside that is shown on one line and cannot speak to a terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
