package cmd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

func (a *app) showLetter() *cobra.Command {
	var f lettersFlags
	var payload string
	c := &cobra.Command{
		Use:   "show ROUTE POSITION -c FILE",
		Short: "Show one dead letter with its headers, and what it holds with --payload",
		Args:  cobra.ExactArgs(2),
	}
	f.add(c)
	c.Flags().StringVar(&payload, "payload", "", "show key and value too, as `text` or hex")
	c.Flags().Lookup("payload").NoOptDefVal = "text"
	c.RunE = func(c *cobra.Command, args []string) error {
		partition, offset, err := parsePlace(args[1])
		if err != nil {
			return &ExitError{exitConfig, err}
		}
		if payload != "" && payload != "text" && payload != "hex" {
			return exit(exitConfig, "--payload is %q; it is text or hex", payload)
		}
		ctx, stop := a.interruptible(c.Context())
		defer stop()
		l, err := a.openLetters(ctx, &f, args[0])
		if err != nil {
			return err
		}
		defer l.close(ctx)
		return l.show(ctx, a.stdout, partition, offset, payload)
	}
	return c
}

// errShown ends the reading.
var errShown = errors.New("shown")

func (l *letters) show(ctx context.Context, out io.Writer, partition string, offset int64, payload string) error {
	err := l.log.Read(ctx, partition, offset, offset+1, func(m *connectors.Message) error {
		letter, fate := bridge.FateOf(l.route.Name, m)
		if fate == bridge.NoLetter {
			return exit(exitFailed, "what stands at %s is no dead letter", placeOf(partition, offset))
		}
		printLetter(out, placeOf(partition, offset), &letter, payload)
		return errShown
	})
	var chosen *ExitError
	switch {
	case errors.Is(err, errShown):
		return nil
	case errors.As(err, &chosen):
		return err
	case err != nil:
		return exit(exitEnvironment, "the dead letters of %s: %w", l.route.Name, err)
	}
	return exit(exitFailed, "there is nothing at %s\n  → sluice dead-letters list %s -c FILE", placeOf(partition, offset), l.route.Name)
}

func printLetter(out io.Writer, place string, l *bridge.Letter, payload string) {
	m := &l.Message
	fmt.Fprintf(out, "dead letter of %s at %s\n", plain(l.Route), place)
	item(out, "reason", plain(l.Reason))
	item(out, "refused", fmt.Sprintf("%s, after %s", at(l.Time), count(l.Attempts, "attempt")))
	item(out, "redriven", count(l.Redriven, "time"))
	item(out, "read at", plain(placeOf(l.Partition, m.Offset)))
	item(out, "origin", plain(l.Origin))
	item(out, "subject", plain(m.Subject))
	item(out, "time", at(m.Time))
	if l.Undecoded {
		item(out, "value", "what the source could not decode; it is not redriven")
	}
	for i := range m.Headers {
		item(out, "header", plain(m.Headers[i].Key)+": "+shown(m.Headers[i].Value))
	}
	if payload == "" {
		item(out, "key", sizeOf(m.Key))
		item(out, "value", sizeOf(m.Value)+"; --payload shows it")
		return
	}
	as := shown
	if payload == "hex" {
		as = hex.EncodeToString
	}
	for _, field := range []struct {
		name  string
		value []byte
	}{{"key", m.Key}, {"value", m.Value}} {
		text := sizeOf(field.value)
		if len(field.value) > 0 {
			text = as(field.value)
		}
		item(out, field.name, text)
	}
}

func sizeOf(b []byte) string {
	if b == nil {
		return "null"
	}
	return count(len(b), "byte")
}

// shown writes bytes so that they cannot speak to a terminal: what is not printable is escaped.
func shown(b []byte) string {
	if !utf8.Valid(b) {
		return fmt.Sprintf("%q", b)
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return fmt.Sprintf("%q", b)
		}
	}
	return string(b)
}
