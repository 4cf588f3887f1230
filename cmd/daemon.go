package cmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/web"
)

const (
	reportEvery = time.Second
	// goodbye bounds what comes after the routes have ended: open requests, the last telemetry.
	goodbye = 3 * time.Second
	// abandonGrace is how long a second signal waits for the routes, to say what will come again.
	abandonGrace = 500 * time.Millisecond
)

// daemon is the life of one `run`.
type daemon struct {
	app        *app
	cfg        *config.Config
	log        zerolog.Logger
	bridge     *bridge.Bridge
	tel        *telemetry.Telemetry
	admin      *admin
	report     *report
	memory     memory
	memoryLine string // as said last

	reloads *reloader
	watches bool // --watch

	supervisor *supervisor

	begunWith inFlight // the drain
}

// daemon runs the configuration that f names until its routes have ended or a signal came.
func (a *app) daemon(ctx context.Context, cfg *config.Config, f *runFlags, limit connectors.Size) error {
	// First, so that a signal during the start is a soft end too.
	signals := a.signals
	if signals == nil {
		own := make(chan os.Signal, 2) // both signals, should they come before anybody looks
		signal.Notify(own, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(own)
		signals = own
	}
	out := &screen{out: a.stderr}
	d := &daemon{app: a, cfg: cfg, report: &report{}, watches: f.watch}
	terminal := isTerminal(a.stderr)
	level, err := parseLevel(cfg.Log.Level)
	if err != nil {
		return &ExitError{exitConfig, err}
	}
	people := cfg.Log.Format == "console" || cfg.Log.Format == "auto" && terminal
	noColour, _ := a.env("NO_COLOR")
	d.log = newLogger(out, level, people, terminal && noColour == "")
	if people {
		d.report.people = out
	}
	if terminal && people {
		d.report.screen = out
		defer out.show("")
	}
	d.report.log = d.log
	d.supervisor = newSupervisor(d.log, a.env)

	listener, err := listen(ctx, cfg.Admin.Listen)
	if err != nil {
		return &ExitError{exitFailed, err}
	}
	d.memory = findMemory(d.log, a.env, limit, "/")
	d.cfg.Bridge.Memory = d.memory.share()
	if err := d.open(ctx, f, instance()); err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	d.setMemory()
	return d.live(ctx, listener, signals)
}

// setMemory says how much memory the routes need, where that is news.
func (d *daemon) setMemory() {
	if need, line := d.bridge.Memory(); line != d.memoryLine {
		d.memoryLine = line
		d.memory.set(d.log, need, line)
	}
}

// open builds telemetry, bridge and admin. Nothing of it connects.
func (d *daemon) open(ctx context.Context, f *runFlags, id string) error {
	build, t := d.app.build(), d.cfg.Telemetry
	tel, err := telemetry.New(ctx, telemetry.Config{
		Service: t.Service, Instance: id, Version: build.Version, Endpoint: t.Endpoint, Protocol: t.Protocol,
		Headers: t.Headers, Traces: t.Traces, Metrics: t.Metrics,
	}, d.log)
	if err != nil {
		return &ExitError{exitConfig, err}
	}
	d.cfg.Bridge.Instance = id
	d.bridge, err = bridge.New(d.cfg.Bridge, d.log, tel)
	if err != nil {
		return &ExitError{exitConfig, errors.Join(err, tel.Shutdown(ctx))}
	}
	d.tel = tel
	d.admin = &admin{
		routes: d.bridge, metrics: tel.Handler(), tel: tel, token: d.cfg.Admin.Token, mayTap: d.cfg.Admin.Tap, traceURL: t.TraceURL,
		build: build, log: d.log, instance: id, started: time.Now(),
	}
	d.reloads = &reloader{
		apply: func(cfg *config.Config, by bridge.Operator) (*bridge.Reloaded, error) {
			return d.bridge.Reload(cfg.Bridge.Routes, by)
		},
		under: d.supervisor.reloading, begun: d.begun, tel: tel, log: d.log, closed: d.admin.draining.Load, turn: make(chan struct{}, 1),
		cfg: d.cfg, seen: stampsOf(d.cfg.Watched()),
	}
	if len(f.given.Files) > 0 {
		d.reloads.read = func() (*config.Config, error) { return d.app.read(f) }
	}
	d.admin.reloads = d.reloads
	d.admin.feed = web.NewFeed(d.admin.read)
	return nil
}

// live runs the routes and says goodbye: first to the brokers, then to whoever asks, then to the
// collector.
func (d *daemon) live(ctx context.Context, listener net.Listener, signals <-chan os.Signal) error {
	closeAdmin := func(context.Context) {}
	if listener != nil {
		closeAdmin = d.admin.serve(listener, d.log)
		d.log.Info().Str("address", "http://"+listener.Addr().String()).Msg("admin listens: the live page, and /livez /readyz /metrics /status")
	}
	d.report.starting(d.bridge.Status())

	soft, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.bridge.Run(soft) }()
	unfollow := d.followed(soft)
	d.supervisor.ready()

	err := d.watch(stop, signals, ended)
	stop()
	unfollow()
	wait := goodbye
	if forced(err) {
		wait = 0
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	closeAdmin(last)
	if fault := d.tel.Shutdown(last); fault != nil && wait > 0 {
		d.log.Warn().Err(fault).Msg("the last telemetry was not taken")
	}
	return err
}

// followed has the daemon reload when somebody says so by a signal or a file. What it returns ends that.
func (d *daemon) followed(ctx context.Context) (end func()) {
	hangups := d.app.hangups
	forget := func() {}
	if hangups == nil && d.reloads.read != nil {
		own := make(chan os.Signal, 1)
		signal.Notify(own, syscall.SIGHUP)
		hangups, forget = own, func() { signal.Stop(own) }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.follow(ctx, hangups, d.watches)
	}()
	return func() {
		forget()
		// A reload waits for routes, and they have ended or are given up.
		grace := time.NewTimer(goodbye)
		defer grace.Stop()
		select {
		case <-done:
		case <-grace.C:
		}
	}
}

// begun is called when other routes have begun.
func (d *daemon) begun(_ *config.Config, done *bridge.Reloaded) {
	d.setMemory()
	d.report.begun(d.bridge.Status(), append(slices.Clone(done.Added), done.Restarted...))
}

// watch follows the routes until they have ended. The first signal lets them drain, the second does not.
func (d *daemon) watch(stop func(), signals <-chan os.Signal, ended <-chan error) error {
	tick := time.NewTimer(connectors.UntilTick(reportEvery))
	defer tick.Stop()
	draining, spare, ticks := false, giveBack{free: freeMemory}, 0
	var overdue <-chan time.Time
	for {
		d.admin.turned.Store(time.Now().Unix())
		d.supervisor.turned(d.bridge.Status)
		select {
		case err := <-ended:
			return d.verdict(err, draining)
		case now := <-tick.C:
			tick.Reset(connectors.UntilTick(reportEvery))
			if d.report.waits() {
				d.report.look(d.bridge.Status(), now)
			}
			spare.look(d.bridge.Held(), now)
			switch ticks++; ticks {
			case 1, 10: // what only the start needed, and what connecting did
				releaseProgram()
			}
		case <-overdue:
			// A connector that does not heed its context must not keep the process.
			return d.verdict(&bridge.DrainError{Left: d.uncommitted()}, draining)
		case s := <-signals:
			if draining {
				return d.abandon(s, ended)
			}
			draining = true
			d.admin.draining.Store(true)
			d.begunWith = inFlightOf(d.bridge.Status())
			d.log.Info().Str("signal", s.String()).Float64("deadline_seconds", d.cfg.Bridge.Drain.Seconds()).EmbedObject(d.begunWith).
				Msg("draining: nothing more is fetched, what is in flight is finished; a second signal ends at once")
			d.supervisor.stopping()
			stop()
			timer := time.NewTimer(d.cfg.Bridge.Drain + d.app.grace)
			defer timer.Stop()
			overdue = timer.C
		}
	}
}

// forced reports whether err is the end by a second signal, after which nothing is waited for.
func forced(err error) bool {
	var e *ExitError
	return errors.As(err, &e) && e.Code > exitSignal
}

// instance names this process among all that share brokers.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var id [4]byte
	// rand.Read never fails; it ends the program instead.
	_, _ = rand.Read(id[:])
	return host + "-" + hex.EncodeToString(id[:])
}
