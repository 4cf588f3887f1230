package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
)

// closing bounds how long a connection takes to be closed.
const closing = 2 * time.Second

// Routes asks about every end of every route, and, for each route, whether what may come fits what is taken.
func (w *Walk) Routes(ctx context.Context, cfg *config.Config) error {
	routes := cfg.Bridge.Routes
	for i := range routes {
		r := &routes[i]
		var source *connectors.Limit
		for j := range cfg.Ends {
			e := &cfg.Ends[j]
			if e.Route != r.Name {
				continue
			}
			limit, err := w.end(ctx, r, e)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", e.Path, err)
			case e.Source != nil:
				source = limit
			case source != nil && limit != nil:
				w.size(ctx, r, e, source, limit)
			}
		}
	}
	return nil
}

// end asks about one end and returns the largest message there.
func (w *Walk) end(ctx context.Context, r *bridge.RouteConfig, e *config.End) (*connectors.Limit, error) {
	env := connectors.Env{
		Route: r.Name, Instance: "doctor", Logger: zerolog.Nop(), Map: e.Map, Headers: r.Headers, AcceptLoss: r.AcceptLoss,
		Window: connectors.Room{Messages: int(r.Window.Messages), Bytes: r.Window.Bytes},
	}
	var x *connectors.Examination
	var err error
	switch {
	case e.Source != nil && e.Source.Examine != nil:
		x, err = e.Source.Examine(env)
	case e.Sink != nil && e.Sink.Examine != nil:
		x, err = e.Sink.Examine(env, r.Source.Subjects)
	}
	if x == nil || err != nil {
		return nil, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		x.Close(ending)
	}()
	w.Chain(ctx, Place{End: e.Path + " (" + e.At + ")", Connection: e.Connection}, x.Checks)
	if x.Largest != nil {
		if l, ok := x.Largest(); ok {
			return &l, nil
		}
	}
	return nil, nil
}

// sizeSlack is what two limits may differ by: they count the headers of batches and messages differently, and
// the brokers' defaults are 12 bytes apart.
const sizeSlack = 4 << 10

// size compares the largest message that may come with the largest that is taken.
func (w *Walk) size(ctx context.Context, r *bridge.RouteConfig, e *config.End, source, sink *connectors.Limit) {
	w.Chain(ctx, Place{End: e.Path + " (" + e.At + ")"}, []connectors.Check{{
		Code: "route.size", About: "route " + r.Name + " to " + e.Path, Ask: func(context.Context) []connectors.Finding {
			from, to := connectors.Size(source.Bytes), connectors.Size(sink.Bytes)
			if source.Bytes <= sink.Bytes+sizeSlack {
				return connectors.Found(connectors.Fine, "", "a message has up to %v (%s), and up to %v is taken (%s)", from, source.Name, to, sink.Name)
			}
			return connectors.Found(connectors.Warning, sink.Change(source.Bytes+sizeSlack)+"; or smaller messages: "+source.Change(sink.Bytes-sizeSlack),
				"a message may have %v (%s), and no more than %v is taken (%s): a larger one is refused, and on_reject decides what becomes of the route", from, source.Name, to, sink.Name)
		},
	}})
}
