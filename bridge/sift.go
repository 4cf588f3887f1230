package bridge

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// sift takes out of what is about to be written, at now, what the route does not write: what has come back
// to where it is from, and what is stale. Its error halts the route, unless the lane's context has ended.
func (w *writer) sift(now time.Time) error {
	cfg := &w.route.cfg
	if cfg.WayBack == "" && cfg.Stale.OlderThan == 0 {
		return nil
	}
	home, err := w.home()
	if err != nil {
		return err
	}
	kept := 0
	for i, b := range w.batches {
		rest, err := w.keep(b, w.flights[i], home, now.Add(-cfg.Stale.OlderThan))
		switch {
		case err != nil:
			return err
		case len(rest) == 0:
			continue
		case len(rest) < len(b.Messages):
			view := *b
			view.Messages = rest
			b = &view
		}
		w.batches[kept], w.flights[kept] = b, w.flights[i]
		kept++
	}
	if kept < len(w.batches) {
		w.passed(now)
	}
	clear(w.batches[kept:])
	w.batches, w.flights = w.batches[:kept], w.flights[:kept]
	return nil
}

// keep returns the messages of a batch that are to be written and disposes of the others: those that are
// from home, and those from before a time.
func (w *writer) keep(b *connectors.Batch, f *flight, home string, before time.Time) ([]connectors.Message, error) {
	rest := b.Messages
	if home != "" {
		var back []connectors.Message
		if rest, back = split(rest, func(m *connectors.Message) bool { return isFrom(m, home) }); len(back) > 0 {
			w.route.counts.returned.Add(uint64(len(back)))
			w.acknowledged(f, len(back))
		}
	}
	if w.route.cfg.Stale.OlderThan > 0 {
		var old []connectors.Message
		if rest, old = split(rest, func(m *connectors.Message) bool { return !m.Time.IsZero() && m.Time.Before(before) }); len(old) > 0 {
			if err := w.dispose(b, old); err != nil {
				return nil, err
			}
			w.acknowledged(f, len(old))
		}
	}
	return rest, nil
}

// split takes the messages out that are wanted. Where all are of one kind it allocates nothing.
func split(messages []connectors.Message, wanted func(*connectors.Message) bool) (rest, out []connectors.Message) {
	for i := range messages {
		m := &messages[i]
		yes := wanted(m)
		switch {
		case yes && len(rest) == 0:
			out = messages[: i+1 : i+1]
		case !yes && len(out) == 0:
			rest = messages[: i+1 : i+1]
		case yes:
			out = append(out, *m)
		default:
			rest = append(rest, *m)
		}
	}
	return rest, out
}

// isFrom reports whether a message was read last at a place, as a Placer names it.
func isFrom(m *connectors.Message, place string) bool {
	origin := connectors.FindOrigin(m.Headers)
	return len(origin) > len(place) && origin[len(place)] == '/' && bytes.HasPrefix(origin, []byte(place))
}

// home returns what the sink's place is called, empty where nobody asks. It waits until the sink knows,
// for nothing may be sent back before.
func (w *writer) home() (string, error) {
	if w.route.cfg.WayBack == "" {
		return "", nil
	}
	if known := w.place.Load(); known != nil {
		return *known, nil
	}
	defer w.calm()
	for {
		place, err := askPlace(w.p.ctx, w.sink)
		switch {
		case err == nil:
			w.place.Store(&place)
			return place, nil
		case w.p.ctx.Err() != nil:
			return "", w.p.ctx.Err()
		case connectors.IsPermanent(err):
			return "", err
		}
		if err := w.waitToRetry(err); err != nil {
			return "", err
		}
	}
}

func askPlace(ctx context.Context, s connectors.Sink) (string, error) {
	placer, ok := s.(connectors.Placer)
	if !ok {
		return "", connectors.Permanent(errors.New("the sink cannot tell what it writes to, so that nobody knows what comes back from there"))
	}
	return placer.Place(ctx)
}
