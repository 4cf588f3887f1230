package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
	"github.com/sluice-bridge/sluice/telemetry"
)

// Route is one source, one window and one sink. It outlives its runs: a route that halted is run anew
// after Resume.
type Route struct {
	cfg      RouteConfig
	instance string
	drain    time.Duration
	log      zerolog.Logger
	sampled  zerolog.Logger // for lines that could come by the message
	tel      *telemetry.Telemetry
	watch    *telemetry.Route
	tracer   trace.TracerProvider
	tracing  bool // spans of messages have somewhere to go

	budget *flowcontrol.Budget               // of all routes; nil where there is memory for all their windows
	peers  func() []*Route                   // that have a part of it
	sizer  *flowcontrol.Sizer                // nil unless the window is adaptive
	share  atomic.Pointer[flowcontrol.Share] // of the run; nil without one, and unless the window is adaptive
	clock  *flowcontrol.Clock
	pacer  *pacer
	counts *counts
	health health
	left   atomic.Pointer[Left] // by the last run; nil before its end

	gaps     gaps
	watchdog watchdog                 // of the monitor
	outlook  outlook                  // of the monitor
	forecast atomic.Pointer[forecast] // nil: nothing is known yet
	evidence atomic.Pointer[evidence] // of the stall that goes on; nil: none is known
	giveUp   atomic.Pointer[givenUp]  // the message that the operator gave up, until it is disposed of
	paused   atomic.Pointer[pause]    // by the operator; written with mu held

	taps atomic.Pointer[[]*Tap] // who looks on; nil: nobody. Written with mu held

	mu      sync.Mutex
	current *run          // nil between two runs
	halted  error         // why it waits for Resume
	resume  chan struct{} // closed by Resume; nil unless halted
	actions []telemetry.ActionStatus
	order   *order // to be carried out between two runs
	working bool   // one is being carried out
	ended   bool
	ordered chan struct{} // capacity 1: there is an order
	says    settings      // of the configuration, also where an operator wants something else now

	stop context.CancelCauseFunc // ends it softly; set with life
	kill context.CancelFunc      // ends it at once; set with life
	life chan struct{}           // closed when run has returned; nil before run
}

func newRoute(cfg RouteConfig, instance string, drain time.Duration, log zerolog.Logger, tel *telemetry.Telemetry) (*Route, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if _, err := flowcontrol.NewWindow(cfg.Window); err != nil {
		return nil, fmt.Errorf("route %s: %w", cfg.Name, err)
	}
	log = log.With().Str("route", cfg.Name).Logger()
	clock := flowcontrol.NewClock(flowcontrol.Disconnected, time.Now())
	r := &Route{
		cfg: cfg, instance: instance, drain: drain, tel: tel, log: log, clock: clock, pacer: newPacer(cfg.Limit, time.Now()),
		sampled: log.Sample(&zerolog.BurstSampler{Burst: 5, Period: 10 * time.Second}),
		tracer:  noop.NewTracerProvider(),
		ordered: make(chan struct{}, 1), counts: new(counts), says: settingsOf(&cfg),
	}
	r.health.clock = clock
	if cfg.Paused {
		r.hold(Operator{Who: byConfiguration, Why: "paused: true"})
	}
	if tel != nil {
		r.tracer = tel.Tracer()
		_, off := r.tracer.(noop.TracerProvider)
		r.tracing = !off
	}
	return r, nil
}

// run runs the route until its source ends, soft ends and it has drained, or hard ends. When it halts
// it waits for Resume.
func (r *Route) run(soft, hard context.Context) {
	if r.tel != nil {
		r.watch = r.tel.Watch(r.cfg.Name, r.log, r.glance)
		defer func() { r.watch.Stop(outcomeOf(soft)) }()
	}
	defer r.tellPause()
	defer r.endOrders()
	retry := backoff{Retry: r.cfg.Retry}
	for soft.Err() == nil {
		if o := r.takeOrder(); o != nil {
			r.carryOut(soft, o)
		}
		err := r.runOnce(soft, hard)
		switch {
		case err == nil: // the source has ended, or soft has
			return
		case errors.Is(err, errInterrupted):
			retry.reset()
		case connectors.IsPermanent(err):
			if !r.awaitResume(soft, err) {
				return
			}
			retry.reset()
		default:
			r.health.sourceFailed(err)
			r.sampled.Error().Err(err).Msg("route could not be opened; it is tried again")
			if retry.next(soft) != nil {
				return
			}
		}
	}
}

// runOnce opens the ends, moves messages until something ends the run, and closes the ends.
func (r *Route) runOnce(soft, hard context.Context) error {
	n, err := r.open(soft, hard)
	if err != nil {
		return err
	}
	r.setCurrent(n)
	err = n.run()
	n.close()
	r.left.Store(n.left())
	r.setCurrent(nil)
	return err
}

func (r *Route) setCurrent(n *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = n
	if n != nil && r.order != nil {
		n.halt.set("", errInterrupted)
	}
}

// open builds a run with open ends. Opening does not fail because a broker is away.
func (r *Route) open(soft, hard context.Context) (opened *run, err error) {
	n, err := newRun(r, soft, hard)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.halt.stop()
			n.endHard()
			n.leave()
		}
	}()
	r.health.opened(r.cfg.Source.Remote, r.cfg.Sink.Remote)
	if n.sink, err = r.cfg.Sink.Open(soft, r.env(&sinkHost{r}, r.cfg.Map)); err != nil {
		return nil, fmt.Errorf("open sink: %w", err)
	}
	if r.cfg.redrive != nil {
		n.sink = &restorer{n.sink, r.cfg.redrive, r.cfg.Transform}
	}
	if r.cfg.DeadLetter != nil {
		env := r.env(&deadLetterHost{sinkHost{r}}, r.cfg.DeadLetterMap)
		env.Headers = true // a letter keeps what it was, however the route treats headers
		n.deadLetter, err = r.cfg.DeadLetter.Open(soft, env)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open dead-letter sink: %w", err), n.sink.Close(soft))
		}
	}
	source, err := r.cfg.Source.Open(soft, r.env(&sourceHost{n}, connectors.Map{}))
	if err != nil {
		n.closeSinks(soft)
		return nil, fmt.Errorf("open source: %w", err)
	}
	n.setSource(source)
	return n, nil
}

func (r *Route) env(host connectors.Host, m connectors.Map) connectors.Env {
	return connectors.Env{
		Route: r.cfg.Name, Instance: r.instance, Logger: r.log, Tracer: r.tracer, Host: host, Map: m,
		Headers:    r.cfg.Headers,
		Window:     connectors.Room{Messages: int(r.cfg.Window.Messages), Bytes: r.cfg.Window.Bytes},
		AcceptLoss: r.cfg.AcceptLoss, MaxHops: r.cfg.MaxHops,
	}
}
