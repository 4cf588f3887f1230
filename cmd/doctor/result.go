package doctor

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// Result is what one check found about one thing.
type Result struct {
	Code  string `json:"code"`
	Level Level  `json:"level"`
	About string `json:"about"`
	Place string `json:"place"` // in the configuration, such as connections.kafka-eu (sluice.yaml:3)
	Text  string `json:"text"`
	Way   string `json:"way,omitempty"`
}

// Level is how bad it is, in words that last.
type Level string

// The levels.
const (
	Passed  Level = "passed"
	Warning Level = "warning"
	Failed  Level = "failed"
	Skipped Level = "skipped"
)

func levelOf(l connectors.Level) Level {
	switch l {
	case connectors.Warning:
		return Warning
	case connectors.Failed:
		return Failed
	}
	return Passed
}

// Summary counts results.
type Summary struct {
	Passed   int `json:"passed"`
	Warnings int `json:"warnings"`
	Failed   int `json:"failed"`
	Skipped  int `json:"skipped"`
}

func (s *Summary) add(l Level) {
	switch l {
	case Passed:
		s.Passed++
	case Warning:
		s.Warnings++
	case Failed:
		s.Failed++
	case Skipped:
		s.Skipped++
	}
}

func (s Summary) String() string {
	words := []string{fmt.Sprintf("%d passed", s.Passed)}
	for _, c := range []struct {
		n         int
		one, many string
	}{{s.Warnings, "warning", "warnings"}, {s.Failed, "failed", "failed"}, {s.Skipped, "skipped", "skipped"}} {
		switch {
		case c.n == 1:
			words = append(words, "1 "+c.one)
		case c.n > 1:
			words = append(words, fmt.Sprintf("%d %s", c.n, c.many))
		}
	}
	return strings.Join(words, " · ")
}

// Printer writes results for people as they come.
type Printer struct {
	W       io.Writer
	place   string
	skipped []Result
}

// Tell writes one result; what is skipped waits for the end of its chain.
func (p *Printer) Tell(r Result) {
	if r.Place != p.place {
		p.End()
		p.place = r.Place
		fmt.Fprintf(p.W, "%s\n", r.Place)
	}
	switch r.Level {
	case Skipped:
		p.skipped = append(p.skipped, r)
		return
	case Passed:
		fmt.Fprintf(p.W, "  ✓ %-20s %s\n", r.Code, r.Text)
	case Warning, Failed:
		fmt.Fprintf(p.W, "  %s %-20s %s\n      %s\n", map[Level]string{Warning: "⚠", Failed: "✗"}[r.Level], r.Code, r.About, r.Text)
	}
	if r.Way != "" {
		fmt.Fprintf(p.W, "      → %s\n", r.Way)
	}
}

// End writes what was skipped, in one line for each cause.
func (p *Printer) End() {
	for len(p.skipped) > 0 {
		why := p.skipped[0].Text
		var codes []string
		rest := p.skipped[:0:0]
		for _, r := range p.skipped {
			if r.Text == why {
				codes = append(codes, r.Code)
			} else {
				rest = append(rest, r)
			}
		}
		fmt.Fprintf(p.W, "  - %s: %s\n", why, strings.Join(codes, ", "))
		p.skipped = rest
	}
}
