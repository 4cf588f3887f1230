package connectortest

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
)

// Lacks lists what a connector cannot do by its nature, so that the suite does not ask for it.
type Lacks uint16

// What may be lacking.
const (
	Keys        Lacks = 1 << iota // messages have no keys
	Nulls                         // a nil value or key and an empty one are the same
	Headers                       // messages have no headers
	HeaderOrder                   // headers keep their order only among equal names
	Times                         // the time of a message is not the one it was put with
	Binary                        // values are text without line ends
	Redelivery                    // what was not committed does not come again (source)
	Backlog                       // only what is put while a source is open arrives (source)
	Order                         // order is not kept (source)
)

func (l Lacks) has(what Lacks) bool { return l&what != 0 }

// Settings are common to both suites. The zero value is ready.
type Settings struct {
	// Lacks lists what the connector cannot do by its nature.
	Lacks Lacks
	// Timeout bounds each check; 0: a minute.
	Timeout time.Duration
	// Grace is how long a call may take to return once its context has ended; 0: 10 s.
	Grace time.Duration
	// Goroutines exempts goroutines, such as those of an embedded broker, from the check that all are
	// gone after Close. Those that run when New has returned are exempt already.
	Goroutines []goleak.Option
	// Env, if set, changes the environment that an end is opened with.
	Env func(*connectors.Env)
}

func (s *Settings) setDefaults() {
	if s.Timeout == 0 {
		s.Timeout = time.Minute
	}
	if s.Grace == 0 {
		s.Grace = 10 * time.Second
	}
}

func (s *Settings) environment(t testing.TB, host connectors.Host) connectors.Env {
	env := connectors.Env{
		Route: "suite", Instance: "suite-" + t.Name(), Logger: zerolog.Nop(), Tracer: noop.NewTracerProvider(),
		Host: host, Headers: true, Window: connectors.Room{Messages: 8192, Bytes: 64 << 20},
	}
	if s.Env != nil {
		s.Env(&env)
	}
	return env
}

// About is what the suite tells a factory of the route; for harnesses that call one.
func About() connectors.About {
	return connectors.About{Route: "suite", Window: connectors.Room{Messages: 8192, Bytes: 64 << 20}}
}

// noLeak fails the test if goroutines are left that did not run before.
func (s *Settings) noLeak(t testing.TB, before goleak.Option) {
	t.Helper()
	if err := goleak.Find(append([]goleak.Option{before}, s.Goroutines...)...); err != nil {
		t.Errorf("goroutines are left after Close: %v", err)
	}
}

// within runs do and fails the test if it has not returned grace after ctx has ended.
func within[T any](ctx context.Context, t testing.TB, grace time.Duration, call string, do func() T) T {
	t.Helper()
	result := make(chan T, 1)
	go func() { result <- do() }()
	select {
	case r := <-result:
		return r
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-result:
		return r
	case <-timer.C:
		t.Fatalf("%s has not returned %v after its context ended (%v)", call, grace, context.Cause(ctx))
		panic("unreachable")
	}
}

// abandon closes an end that a failed check left open, without a word about how that goes.
func (s *Settings) abandon(end interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), s.Grace)
	defer cancel()
	closed := make(chan struct{})
	go func() { defer close(closed); _ = end.Close(ctx) }()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// pause spaces attempts after an error, so that a broker that is coming up is not spun on.
func pause(ctx context.Context) {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
	}
}
