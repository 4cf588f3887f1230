package connectors

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
)

// Reachable returns the first two checks of a connection, <kind>.dns and <kind>.tcp: that the names of its hosts
// are known here, and that something listens there. addresses are host:port, key is where the configuration
// has them. Where some answer it warns, for one is enough to begin with.
func Reachable(kind, about, key string, addresses []string) []Check {
	return []Check{
		{Code: kind + ".dns", About: about, Connection: true, Ask: func(ctx context.Context) []Finding {
			return each(ctx, addresses, func(ctx context.Context, address string) (string, *Finding) {
				host, _, _ := net.SplitHostPort(address) // the caller has checked it
				all, err := new(net.Resolver).LookupHost(ctx, host)
				if err != nil {
					return "", &Finding{Text: fmt.Sprintf("the host name %s is not known here: %v", host, err),
						Way: CommandLine("getent hosts %s", host) + "; then correct " + key + ", or this machine's DNS"}
				}
				return fmt.Sprintf("%s is %s", host, strings.Join(all[:min(len(all), 3)], ", ")), nil
			})
		}},
		{Code: kind + ".tcp", About: about, Connection: true, After: []string{kind + ".dns"}, Ask: func(ctx context.Context) []Finding {
			return each(ctx, addresses, func(ctx context.Context, address string) (string, *Finding) {
				if err := Dial(ctx, address); err != nil {
					host, port, _ := net.SplitHostPort(address)
					return "", &Finding{Text: fmt.Sprintf("nothing can be reached at %s: %v", address, err),
						Way: CommandLine("nc -vz %s %s", host, port) + "; then start the broker, open the port, or correct " + key}
				}
				return address + " accepts", nil
			})
		}},
	}
}

// Dial tries whether something listens at host:port.
func Dial(ctx context.Context, address string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// mostAsked is how many addresses are tried at once.
const mostAsked = 16

// each asks about all addresses side by side. Where one is well, the others only warn.
func each(ctx context.Context, addresses []string, ask func(context.Context, string) (string, *Finding)) []Finding {
	texts, bad := make([]string, len(addresses)), make([]*Finding, len(addresses))
	var wg sync.WaitGroup
	turns := make(chan struct{}, mostAsked)
	for i, address := range addresses {
		turns <- struct{}{}
		wg.Go(func() {
			texts[i], bad[i] = ask(ctx, address)
			<-turns
		})
	}
	wg.Wait()
	var well []string
	var all []Finding
	for i := range addresses {
		if bad[i] == nil {
			well = append(well, texts[i])
		}
	}
	for _, f := range bad {
		if f == nil {
			continue
		}
		f.Level = Failed
		if len(well) > 0 {
			f.Level = Warning
		}
		all = append(all, *f)
	}
	if len(all) == 0 {
		return Found(Fine, "", "%s", strings.Join(well, "; "))
	}
	return all
}

// Loopback reports whether host or host:port is this machine, so that what goes there does not leave it.
func Loopback(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
