package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Minute
)

// topFlags are the flags of top.
type topFlags struct {
	interval time.Duration
	once     bool
	json     bool
	routes   string
	sort     string
}

func (a *app) top() *cobra.Command {
	var f topFlags
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the routes of a running daemon",
		Long: "Watches the routes of a running daemon: what each does, how fast, how full its window is and who holds it\n" +
			"back. Keys: arrows choose a route, Enter shows more of it, s sorts, p holds the picture, q ends. Where the\n" +
			"output is no terminal it prints one table, as with --once.",
		Args: cobra.NoArgs,
	}
	cl := a.clientFlags(c)
	c.Flags().DurationVar(&f.interval, "interval", time.Second, "how often to look, 100ms to 1m; rates are over as much")
	c.Flags().BoolVar(&f.once, "once", false, "look twice, an interval apart, print one table and end")
	c.Flags().BoolVar(&f.json, "json", false, "a line of JSON for each look")
	c.Flags().StringVar(&f.routes, "routes", "*", "`pattern` of the routes to show, such as 'orders*'")
	c.Flags().StringVar(&f.sort, "sort", sortTrouble, "by trouble, name, rate or lag")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return &ExitError{exitConfig, err}
		}
		b := &board{pattern: f.routes, sort: f.sort, url: cl.url}
		noColour, _ := a.env("NO_COLOR")
		b.colour = isTerminal(a.stdout) && noColour == ""
		switch {
		case f.json:
			return a.topJSON(c.Context(), cl, &f, b)
		case f.once || !isTerminal(a.stdout) || !term.IsTerminal(int(os.Stdin.Fd())):
			return a.topOnce(c.Context(), cl, &f, b)
		}
		return a.topLive(c.Context(), cl, &f, b)
	}
	return c
}

func (f *topFlags) check() error {
	if f.interval < minInterval || f.interval > maxInterval {
		return fmt.Errorf("--interval is %s; it has to be %s to %s", f.interval, minInterval, maxInterval)
	}
	if _, err := path.Match(f.routes, ""); err != nil {
		return fmt.Errorf("--routes: %q is not a pattern; such as 'orders*'", f.routes)
	}
	if _, ok := sorts()[f.sort]; !ok {
		return fmt.Errorf("--sort is %q; it has to be trouble, name, rate or lag", f.sort)
	}
	return nil
}

// look asks the daemon once.
func (c *client) look(ctx context.Context) (*topAnswer, error) {
	body, err := c.get(ctx, "/status")
	if err != nil {
		return nil, err
	}
	answer := &topAnswer{}
	if err := c.decode(body, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

// twice looks two times, an interval apart: the least for a rate.
func twice(ctx context.Context, cl *client, f *topFlags, b *board) error {
	for i := range 2 {
		if i > 0 && !wait(ctx, f.interval) {
			return &ExitError{exitFailed, ctx.Err()}
		}
		answer, err := cl.look(ctx)
		if err != nil {
			return err
		}
		b.take(answer)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *app) topOnce(ctx context.Context, cl *client, f *topFlags, b *board) error {
	if err := twice(ctx, cl, f, b); err != nil {
		return err
	}
	const endless = 1 << 16
	width := endless
	if file, ok := a.stdout.(*os.File); ok && isTerminal(a.stdout) {
		if w, _, err := term.GetSize(int(file.Fd())); err == nil {
			width = w
		}
	}
	for _, line := range b.table(width, endless) {
		if _, err := fmt.Fprintln(a.stdout, line); err != nil {
			return &ExitError{exitFailed, err}
		}
	}
	return nil
}

func (a *app) topJSON(ctx context.Context, cl *client, f *topFlags, b *board) error {
	if err := twice(ctx, cl, f, b); err != nil {
		return err
	}
	out := json.NewEncoder(a.stdout)
	for {
		if err := out.Encode(b.lines()); err != nil {
			return &ExitError{exitFailed, err}
		}
		if f.once || !wait(ctx, f.interval) {
			return nil
		}
		answer, err := cl.look(ctx)
		if err != nil {
			return err
		}
		b.take(answer)
	}
}

// The codes of a terminal (ECMA-48): the other screen, no cursor, and the way back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	homeCursor  = "\x1b[H"
	clearRest   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// topLive draws on the terminal until a key or a signal ends it.
func (a *app) topLive(ctx context.Context, cl *client, f *topFlags, b *board) error {
	out := a.stdout.(*os.File) // as isTerminal says
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	first, err := cl.look(ctx) // before the screen changes: a wrong address is told on the ordinary one
	if err != nil {
		return err
	}
	b.take(first)
	before, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return exit(exitFailed, "the terminal cannot be read key by key: %w\n  → sluice top --once", err)
	}
	// What is written here goes to a terminal: if it is gone there is nobody to tell.
	_, _ = io.WriteString(out, enterScreen)
	defer func() {
		_, _ = io.WriteString(out, leaveScreen)
		_ = term.Restore(int(os.Stdin.Fd()), before)
	}()
	type seen struct {
		answer *topAnswer
		err    error
	}
	looks, keys := make(chan seen), make(chan string)
	go func() {
		for wait(ctx, f.interval) {
			answer, err := cl.look(ctx)
			select {
			case looks <- seen{answer, err}:
			case <-ctx.Done():
			}
		}
	}()
	go readKeys(ctx, os.Stdin, keys) // a read of a terminal cannot be ended; it ends with the process
	for {
		b.draw(out)
		select {
		case s := <-looks:
			b.away = s.err
			if s.err == nil && !b.held {
				b.take(s.answer)
			}
		case key := <-keys:
			if b.press(key) {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func readKeys(ctx context.Context, in io.Reader, keys chan<- string) {
	buffer := make([]byte, 64)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		select {
		case keys <- string(buffer[:n]):
		case <-ctx.Done():
			return
		}
	}
}

// draw writes the picture at the terminal's size.
func (b *board) draw(out *os.File) {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	text := homeCursor
	for i, line := range b.picture(width, height) {
		if i > 0 {
			text += "\r\n"
		}
		text += line + clearRest
	}
	_, _ = io.WriteString(out, text+clearBelow)
}
