package cmd

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/telemetry"
	"github.com/sluice-bridge/sluice/telemetry/web"
)

// Look answers about a bridge that a program runs by itself as the daemon does about its own: the live page,
// /status, /metrics and what an operator asks for, over the loopback interface only. It takes the daemon's
// address if that is free. end waits until what is being answered is answered, or ctx has ended.
func Look(ctx context.Context, registry *connectors.Registry, br *bridge.Bridge, tel *telemetry.Telemetry, log zerolog.Logger) (
	address string, end func(context.Context), err error,
) {
	l, err := listen(ctx, config.DefaultListen)
	if err != nil {
		var other error
		if l, other = listen(ctx, net.JoinHostPort("127.0.0.1", "0")); other != nil {
			return "", nil, errors.Join(err, other)
		}
	}
	a := &admin{
		routes: br, metrics: tel.Handler(), tel: tel, mayTap: config.TapMetadata, build: (&app{registry: registry}).build(),
		log: log, instance: instance(), started: time.Now(),
		reloads: &reloader{tel: tel, log: log, closed: func() bool { return false }, turn: make(chan struct{}, 1), cfg: &config.Config{}},
	}
	a.feed = web.NewFeed(a.read)
	return l.Addr().String(), a.serve(l, log), nil
}
