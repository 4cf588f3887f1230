package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

// Ends are the logs of a route. Letters is its dead-letter target, nil if it has none.
type Ends struct{ Source, Sink, Letters connectors.Log }

// Check returns the reason why the ends of a route cannot be compared, nil if they can.
func Check(r *bridge.RouteConfig) error {
	switch {
	case !r.Headers:
		return fmt.Errorf("route %s has headers: none, so its sink does not say where a message is from and the ends cannot be compared", r.Name)
	case r.Source.Log == nil:
		return fmt.Errorf("route %s cannot be compared: what its source (%s) has passed on cannot be read again", r.Name, r.SourceName)
	case r.Sink.Log == nil:
		return fmt.Errorf("route %s cannot be compared: what its sink (%s) has written cannot be read again", r.Name, r.SinkName)
	}
	return nil
}

// Open opens the ends of a route that has passed Check. The caller closes them.
func Open(ctx context.Context, r *bridge.RouteConfig) (*Ends, error) {
	e := &Ends{}
	open := func(what string, into *connectors.Log, log func(context.Context, connectors.Env) (connectors.Log, error), m connectors.Map) error {
		opened, err := log(ctx, environment(r, m))
		if err != nil {
			e.Close(ctx)
			return fmt.Errorf("%s: %w", what, err)
		}
		*into = opened
		return nil
	}
	if err := open("source", &e.Source, r.Source.Log, r.Map); err != nil {
		return nil, err
	}
	if err := open("sink", &e.Sink, r.Sink.Log, r.Map); err != nil {
		return nil, err
	}
	if r.DeadLetter != nil && r.DeadLetter.Log != nil {
		if err := open("dead letters", &e.Letters, r.DeadLetter.Log, r.DeadLetterMap); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// environment is what a log of a route is opened with.
func environment(r *bridge.RouteConfig, m connectors.Map) connectors.Env {
	return connectors.Env{
		Route: r.Name, Logger: zerolog.Nop(), Map: m, Headers: r.Headers, AcceptLoss: r.AcceptLoss,
		Window: connectors.Room{Messages: int(r.Window.Messages), Bytes: r.Window.Bytes},
	}
}

// Close closes what is open. Everything has been read, so its errors are nobody's concern.
func (e *Ends) Close(ctx context.Context) {
	const grace = 5 * time.Second
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	for _, l := range []connectors.Log{e.Source, e.Sink, e.Letters} {
		if l != nil {
			_ = l.Close(ending)
		}
	}
}

// OptionsFor returns how a route is compared that may be running: up to what is committed by now. A route
// that has committed nothing is not running, or has lost its position, and is compared up to what its sink
// holds. It has to be asked before the sink is read.
func OptionsFor(ctx context.Context, r *bridge.RouteConfig) (Options, error) {
	o := Options{
		Route: r.Name, WayBack: r.WayBack != "", Unordered: strings.HasPrefix(r.Source.Facts.Order, "none"), Transform: r.Transform,
	}
	if r.Source.Positions == nil {
		return o, nil
	}
	positions, err := r.Source.Positions(ctx, environment(r, r.Map))
	if err != nil {
		return o, fmt.Errorf("committed positions: %w", err)
	}
	all, err := positions.Committed(ctx)
	_ = positions.Close(ctx) // it only told
	if err != nil {
		return o, fmt.Errorf("committed positions: %w", err)
	}
	o.To = map[string]int64{}
	for _, p := range all {
		if p.Known {
			o.To[p.Partition] = p.Next
		}
	}
	return o, nil
}
