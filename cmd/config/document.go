package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// What a file may be at most. A configuration of a thousand routes stays far below.
const (
	maxFile  = 1 << 20
	maxNodes = 100_000 // after aliases are expanded
	maxDepth = 32
)

// document is one parsed file: a tree without aliases, merge keys and placeholders.
type document struct {
	name  string
	lines []string
	root  *yaml.Node            // a mapping; nil if the file could not be read as one
	files map[*yaml.Node]string // the values that are what a file holds, and which

	outside map[*yaml.Node]bool // the values that come from a variable or a file

	// Where values of its tree stand whose lines are fromFlags or fromDefaults and more.
	flags, defaults *document
}

// The lines of what was put into a tree from elsewhere begin so far below those of any file.
const (
	fromFlags    = 1 << 21
	fromDefaults = 1 << 23
)

// real returns where a place is that was put into its document's tree from elsewhere.
func (p place) real() place {
	switch {
	case p.line >= fromDefaults && p.doc.defaults != nil:
		return place{p.doc.defaults, p.line - fromDefaults, p.column}.real()
	case p.line >= fromFlags && p.doc.flags != nil:
		return place{p.doc.flags, p.line - fromFlags, p.column}
	}
	return p
}

// line returns a line as findings show it.
func (d *document) line(n int, hide func(string) string) string {
	if n > len(d.lines) {
		return ""
	}
	const most = 200
	line := []rune(mask(hide(strings.TrimRight(d.lines[n-1], "\r")), d.root != nil))
	if len(line) > most {
		line = append(line[:most], '…')
	}
	return string(line)
}

func (d *document) at(n *yaml.Node) place { return place{d, n.Line, n.Column} }

func newDocument(name string) *document {
	return &document{name: name, files: map[*yaml.Node]string{}, outside: map[*yaml.Node]bool{}}
}

// parse reads a file's text. What is wrong with it goes to l.
func parse(l *lint, name string, data []byte, vars Placeholders) *document {
	d := newDocument(name)
	if len(data) > maxFile {
		l.add(place{d, 1, 1}, codeLimit, "split it and give -c several times", "the file is larger than %d bytes", maxFile)
		return d
	}
	if !utf8.Valid(data) {
		l.add(place{d, 1, 1}, codeSyntax, "save it as UTF-8", "the file is not UTF-8 text")
		return d
	}
	d.lines = strings.Split(string(data), "\n")
	var tree yaml.Node
	if err := yaml.Load(data, &tree); err != nil {
		d.syntax(l, err)
		return d
	}
	if len(tree.Content) == 0 || tree.Content[0].Tag == "!!null" {
		l.add(place{d, 1, 1}, codeMissing, "start with routes:", "the file is empty")
		return d
	}
	x := expander{lint: l, doc: d, vars: vars, open: map[*yaml.Node]bool{}}
	root := x.copy(tree.Content[0], 0)
	switch {
	case x.over:
	case root.Kind != yaml.MappingNode:
		l.add(d.at(root), codeSyntax, "start with routes:", "the file is not a mapping of keys to values")
	default:
		d.root = root
	}
	return d
}

// syntax reports what the YAML reader refused. It stops at the first fault.
func (d *document) syntax(l *lint, err error) {
	var one *yaml.LoadError
	at := place{d, 1, 1}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if errors.As(err, &one) {
		at.line, at.column, text = one.Mark.Line, one.Mark.Column, one.Message
	}
	switch {
	case strings.Contains(text, "no documents"):
		l.add(place{d, 1, 1}, codeMissing, "start with routes:", "the file is empty")
		return
	case strings.Contains(text, "single document"):
		l.add(place{d, 1, 1}, codeSyntax, "one document a file; give -c several times", "the file holds several YAML documents")
		return
	}
	if at.line >= 1 && at.line <= len(d.lines) {
		line := d.lines[at.line-1]
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			at.column = tab + 1
			l.add(at, codeSyntax, "indent with spaces", "a tab cannot indent YAML")
			return
		}
	}
	hint := ""
	if one != nil && one.ContextMsg != "" {
		hint = fmt.Sprintf("%s that began in line %d", one.ContextMsg, max(one.ContextMark.Line, 1))
	}
	l.add(at, codeSyntax, hint, "not YAML: %s", text)
}

// expander copies a parsed tree and resolves aliases, merge keys and placeholders on the way, within
// limits, so that nobody behind it has to think of them.
type expander struct {
	lint  *lint
	doc   *document
	vars  Placeholders
	nodes int
	over  bool                // a limit was reached; what is copied no longer matters
	open  map[*yaml.Node]bool // anchored nodes being copied, to see one that contains itself
}

func (x *expander) copy(n *yaml.Node, depth int) *yaml.Node {
	x.nodes++
	switch {
	case x.over:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	case x.nodes > maxNodes:
		return x.refuse(n, codeLimit, "aliases count as often as they are used", "the file holds more than %d values", maxNodes)
	case depth > maxDepth:
		return x.refuse(n, codeLimit, "", "the file is nested more than %d levels deep", maxDepth)
	}
	if n.Kind == yaml.AliasNode {
		if x.open[n.Alias] {
			return x.refuse(n, codeSyntax, "", "*%s contains itself", n.Value)
		}
		return x.copy(n.Alias, depth+1)
	}
	if n.Anchor != "" {
		x.open[n] = true
		defer delete(x.open, n)
	}
	c := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Line: n.Line, Column: n.Column}
	switch n.Kind {
	case yaml.ScalarNode:
		x.fill(c)
		x.lint.addText("", n.Value)
		x.lint.addText("", c.Value)
	case yaml.SequenceNode:
		for _, child := range n.Content {
			c.Content = append(c.Content, x.copy(child, depth+1))
		}
	case yaml.MappingNode:
		x.mapping(c, n, depth)
	}
	return c
}

func (x *expander) refuse(n *yaml.Node, code, hint, format string, args ...any) *yaml.Node {
	x.over = true
	x.lint.add(x.doc.at(n), code, hint, format, args...)
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
}

// mapping copies the pairs of n to c. Keys stand once; what a merge key brings gives way to the
// mapping's own keys.
func (x *expander) mapping(c, n *yaml.Node, depth int) {
	seen := map[string]int{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			x.lint.add(x.doc.at(key), codeSyntax, "", "a key has to be a word")
			continue
		case key.Tag == "!!merge":
			merged = append(merged, x.copy(value, depth+1))
			continue
		case seen[key.Value] > 0:
			x.lint.add(x.doc.at(key), codeDuplicate, fmt.Sprintf("it stands in line %d already", seen[key.Value]),
				"the key %q stands twice", key.Value)
			continue
		}
		seen[key.Value] = max(key.Line, 1)
		name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key.Value, Line: key.Line, Column: key.Column}
		child := x.copy(value, depth+1)
		if value.Kind == yaml.ScalarNode {
			x.lint.addText(key.Value, value.Value)
		}
		x.lint.keepSecret(key.Value, child)
		c.Content = append(c.Content, name, child)
	}
	for _, m := range merged {
		x.merge(c, m, seen)
	}
}

func (x *expander) merge(c, from *yaml.Node, seen map[string]int) {
	switch {
	case from.Kind == yaml.SequenceNode:
		for _, one := range from.Content {
			x.merge(c, one, seen)
		}
		return
	case from.Kind != yaml.MappingNode:
		x.lint.add(x.doc.at(from), codeSyntax, "", "<< wants a mapping")
		return
	}
	for i := 0; i+1 < len(from.Content); i += 2 {
		if name := from.Content[i].Value; seen[name] == 0 {
			seen[name] = max(from.Content[i].Line, 1)
			c.Content = append(c.Content, from.Content[i], from.Content[i+1])
		}
	}
}

// typed matches text that, unquoted, means a number or a truth value.
var typed = regexp.MustCompile(`^([-+]?[0-9]+|[-+]?[0-9]*\.[0-9]+|true|false)$`)

// fill replaces the placeholders of a scalar. What comes from outside is text, or a number or truth
// value where the scalar is not quoted; it can never become structure or null.
func (x *expander) fill(c *yaml.Node) {
	if !strings.Contains(c.Value, "${") {
		return
	}
	value, err := x.vars.fill(c.Value)
	if err != nil {
		x.lint.add(x.doc.at(c), codePlaceholder, err.hint, "%s", err.text)
		// The value is unknown, so nothing else can be said about it.
		c.Tag, c.Value = "!!str", ""
		return
	}
	if path, ok := x.vars.fileOf(c.Value); ok && value != "" {
		x.doc.files[c] = path
	}
	x.doc.outside[c] = value != c.Value
	c.Value, c.Tag = value, "!!str"
	if c.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 && typed.MatchString(value) {
		c.Tag = ""
	}
}
