package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Finding is one fault of a configuration: what is wrong, where, and the way out.
type Finding struct {
	File   string `json:"file"`
	Line   int    `json:"line"` // from 1
	Column int    `json:"column"`
	Code   string `json:"code"` // stable, such as config.unknown_key
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
	Source string `json:"source,omitempty"` // the line itself, secrets masked

	doc *document
}

// The codes of findings. They are a public contract: scripts branch on them.
const (
	codeSyntax      = "config.syntax"
	codeLimit       = "config.limit"
	codeUnknownKey  = "config.unknown_key"
	codeDuplicate   = "config.duplicate_key"
	codeValue       = "config.value"
	codeMissing     = "config.missing"
	codePlaceholder = "config.placeholder"
	codeConnector   = "config.unknown_connector"
	codeConnection  = "config.connection"
	codeURL         = "config.url"
	codeName        = "config.name"
	codeConflict    = "config.conflict"
	codeLossy       = "config.lossy"
	codeSection     = "config.section"
	codeLoop        = "config.loop"
	codeExpression  = "config.expression"
	codeInclude     = "config.include"
	codeSet         = "config.set"

	// Of warnings.
	codeUnused      = "config.unused_connection"
	codePlainSecret = "config.plain_secret"
	codeInsecure    = "config.insecure"
)

// Findings is the error of a configuration that is refused. It is sorted by place.
type Findings []Finding

// Error tells the first finding and how many there are.
func (f Findings) Error() string {
	if len(f) == 0 {
		return "no findings"
	}
	first := fmt.Sprintf("%s:%d:%d: %s", f[0].File, f[0].Line, f[0].Column, f[0].Text)
	if len(f) == 1 {
		return first
	}
	return fmt.Sprintf("%s (and %d more)", first, len(f)-1)
}

// Print writes every finding for people: place and fault, the line with a caret, the way out.
func (f Findings) Print(w io.Writer) {
	for i := range f {
		f[i].print(w)
	}
}

func (f *Finding) print(w io.Writer) {
	fmt.Fprintf(w, "%s:%d:%d: %s\n", f.File, f.Line, f.Column, f.Text)
	note := "(" + f.Code + ")"
	if f.Hint != "" {
		note = f.Hint + "  " + note
	}
	if f.Source == "" {
		fmt.Fprintf(w, "      = %s\n", note)
		return
	}
	// Tabs stay, so that the caret stands below its character whatever a tab's width is.
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string([]rune(f.Source)[:min(f.Column-1, len([]rune(f.Source)))]))
	fmt.Fprintf(w, "%5d | %s\n      | %s^ %s\n", f.Line, f.Source, pad, note)
}

// place is where a finding points: a document and a position in it.
type place struct {
	doc          *document
	line, column int
}

// lint collects findings.
type lint struct {
	secrets
	findings Findings
}

func (l *lint) add(at place, code, hint, format string, args ...any) {
	at = at.real()
	f := Finding{
		File: at.doc.name, Line: max(at.line, 1), Column: max(at.column, 1),
		Code: code, Hint: hint, Text: fmt.Sprintf(format, args...), doc: at.doc,
	}
	same := func(g Finding) bool {
		return g.File == f.File && g.Line == f.Line && g.Column == f.Column && g.Text == f.Text
	}
	// A connection is checked on its own and again below every section that uses it.
	if !slices.ContainsFunc(l.findings, same) {
		l.findings = append(l.findings, f)
	}
}

// has reports whether something is wrong at a place already.
func (l *lint) has(at place) bool {
	at = at.real()
	return slices.ContainsFunc(l.findings, func(f Finding) bool {
		return f.File == at.doc.name && f.Line == at.line && f.Column == at.column
	})
}

// err returns the findings sorted by place, or nil.
func (l *lint) err() error {
	if len(l.findings) == 0 {
		return nil
	}
	l.finish()
	return l.findings
}

// finish sorts the findings by place and hides what is secret in them.
func (l *lint) finish() {
	for i := range l.findings {
		f := &l.findings[i]
		f.Text, f.Hint, f.Source = l.hide(f.Text), l.hide(f.Hint), f.doc.line(f.Line, l.hide)
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
