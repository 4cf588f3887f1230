package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// earlier takes over from a table, if there is one, what this run has not played.
func (d *detection) earlier(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	found := map[string][]caught{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		switch {
		case len(cells) == 4 && slices.ContainsFunc(mutants(), func(m *mutant) bool { return m.name == cells[0] }):
			found[cells[0]] = append(found[cells[0]], caughtOf(cells[1:]))
		case len(cells) == 3 && slices.ContainsFunc(scenarios(), func(s *scenario) bool { return s.name == cells[0] }):
			if _, ok := d.sound[cells[0]]; !ok {
				d.sound[cells[0]] = caughtOf(cells)
			}
		}
	}
	for name, all := range found {
		if _, ok := d.found[name]; !ok {
			d.found[name] = all
		}
	}
	return err
}

// caughtOf reads what one line says: scenario, checks, time.
func caughtOf(cells []string) caught {
	c := caught{scenario: cells[0]}
	if cells[1] != nothing && cells[1] != unnoticed {
		c.checks = strings.Split(cells[1], ", ")
	}
	c.after, _ = time.ParseDuration(strings.ReplaceAll(cells[2], " ", ""))
	return c
}
