package connectortest

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// Examine asks the checks of an examination as an operator's tool does, closes it, and returns what they found, by
// their codes. A check is not asked that depends on one that has failed.
func Examine(t testing.TB, x *connectors.Examination, err error) map[string][]connectors.Finding {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer x.Close(ctx)
	found, failed := map[string][]connectors.Finding{}, map[string]bool{}
	for i := range x.Checks {
		c := &x.Checks[i]
		if c.Code == "" || c.About == "" {
			t.Errorf("check %d has no name or is about nothing", i)
		}
		for _, after := range c.After {
			if !slices.ContainsFunc(x.Checks[:i], func(d connectors.Check) bool { return d.Code == after }) {
				t.Errorf("%s is after %s, which is not before it", c.Code, after)
			}
		}
		if slices.ContainsFunc(c.After, func(code string) bool { return failed[code] }) {
			failed[c.Code] = true
			continue
		}
		for _, f := range c.Ask(ctx) {
			failed[c.Code] = failed[c.Code] || f.Level == connectors.Failed
			if f.Level == connectors.Failed && f.Way == "" {
				t.Errorf("%s has failed without a way out: %s", c.Code, f.Text)
			}
			found[c.Code] = append(found[c.Code], f)
		}
	}
	return found
}

// Bad returns the codes with the worst level of what is not fine.
func Bad(found map[string][]connectors.Finding) map[string]connectors.Level {
	bad := map[string]connectors.Level{}
	for code, all := range found {
		for _, f := range all {
			if f.Level > bad[code] {
				bad[code] = f.Level
			}
		}
	}
	return bad
}

// NoBroker returns the address of a server that is none: it takes connections and hangs up.
func NoBroker(t testing.TB) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}
