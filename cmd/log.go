package cmd

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

func parseLevel(text string) (zerolog.Level, error) {
	if !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, text) {
		return 0, fmt.Errorf("%q is not one of trace, debug, info, warn, error", text)
	}
	return zerolog.ParseLevel(text)
}

func checkFormat(text string) error {
	if !slices.Contains([]string{"auto", "console", "json"}, text) {
		return fmt.Errorf("%q is not one of auto, console, json", text)
	}
	return nil
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// stamp gives every line its time, in UTC with milliseconds.
type stamp struct{}

func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

// newLogger returns the process's logger: one JSON object a line, or lines for people.
func newLogger(w io.Writer, level zerolog.Level, people, colour bool) zerolog.Logger {
	if people {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, TimeLocation: time.Local, NoColor: !colour}
	}
	return zerolog.New(w).Level(level).Hook(stamp{})
}
