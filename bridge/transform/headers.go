package transform

import (
	"fmt"
	"path"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// maxHeaders is how many headers a mapping may drop, rename and set, of each.
const maxHeaders = 64

// headers is what a mapping does to the headers of a message: it drops some, renames some of the others, and then
// sets some.
type headers struct {
	drop   []string // patterns
	rename map[string]string
	set    []setHeader
}

type setHeader struct {
	name  string
	value *connectors.Template
}

// none reports whether headers stay as they are.
func (h *headers) none() bool { return len(h.drop)+len(h.rename)+len(h.set) == 0 }

// String says it in words.
func (h *headers) String() string {
	var parts []string
	if len(h.drop) > 0 {
		parts = append(parts, "drop "+strings.Join(h.drop, ", "))
	}
	if len(h.rename) > 0 {
		parts = append(parts, fmt.Sprintf("rename %d", len(h.rename)))
	}
	for _, s := range h.set {
		parts = append(parts, "set "+s.name+" "+s.value.String())
	}
	return strings.Join(parts, ", ")
}

// protected reports whether a header is not the mapping's: Sluice's own, by which messages are known, and the trace
// context. Who writes them in other letters means them all the same.
func protected(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "sluice-") || name == "traceparent"
}

func (h *headers) check(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a header has no name")
	case protected(name):
		return fmt.Errorf("the header %s is not for a mapping: Sluice tells messages apart by Sluice-*, and traces by traceparent", name)
	case len(name) > 256:
		return fmt.Errorf("the name of a header has %d bytes, the limit is 256", len(name))
	case len(h.drop) > maxHeaders || len(h.rename) > maxHeaders || len(h.set) > maxHeaders:
		return fmt.Errorf("there are more than %d of them", maxHeaders)
	}
	return nil
}

// Drop has the headers taken out whose name a pattern matches: * stands for any characters, ? for one, [ab] for one of
// some. Sluice's own and traceparent stay, whatever a pattern matches.
func (c *Compiler) Drop(pattern string) error {
	h := &c.p.header
	h.drop = append(h.drop, pattern)
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("%q is not a pattern: %w", pattern, err)
	}
	literal, _, wild := strings.Cut(strings.NewReplacer("?", "*", "[", "*", `\`, "*").Replace(pattern), "*")
	if wild && len(literal) < len("sluice-") {
		literal = "x" // it is not about them
	}
	return h.check(literal)
}

// Rename has the headers of one name called another. They keep their place and their value.
func (c *Compiler) Rename(from, to string) error {
	h := &c.p.header
	if h.rename == nil {
		h.rename = map[string]string{}
	}
	h.rename[from] = to
	if err := h.check(from); err != nil {
		return err
	}
	return h.check(to)
}

// Set has a message carry one header of a name, behind all others: any that it has of that name go. what names the
// template, as for Template.
func (c *Compiler) Set(what, name, text string) error {
	value, err := c.Template(what, text)
	if err != nil {
		return err
	}
	h := &c.p.header
	h.set = append(h.set, setHeader{name, value})
	return h.check(name)
}

// apply appends the headers of a message to list, as they are to be. values has the bytes of those that are set;
// both are returned as they have grown. The error is Permanent.
func (h *headers) apply(
	list []connectors.Header, values []byte, b *connectors.Batch, m *connectors.Message,
) ([]connectors.Header, []byte, error) {
	for i := range m.Headers {
		one := m.Headers[i]
		if !protected(one.Key) {
			if h.drops(one.Key) {
				continue
			}
			if to, ok := h.rename[one.Key]; ok {
				one.Key = to
			}
			if h.sets(one.Key) {
				continue
			}
		}
		list = append(list, one)
	}
	for i := range h.set {
		set, start := &h.set[i], len(values)
		if len(m.Key) > maxText && set.value.Names("key") {
			return list, values, tooLong("the key has %d bytes, a header is set to at most %d", len(m.Key), maxText)
		}
		values = set.value.Append(values, b, m, verbatim)
		if n := len(values) - start; n > maxText {
			return list, values[:start], tooLong("the header %s is to be set to %d bytes, the limit is %d", set.name, n, maxText)
		}
		list = append(list, connectors.Header{Key: set.name, Value: values[start:len(values):len(values)]})
	}
	return list, values, nil
}

func (h *headers) drops(name string) bool {
	for _, pattern := range h.drop {
		// To path.Match a slash is no character like others. Its error is one of the pattern, which was checked.
		if matched, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00")); matched {
			return true
		}
	}
	return false
}

func (h *headers) sets(name string) bool {
	for i := range h.set {
		if h.set[i].name == name {
			return true
		}
	}
	return false
}

func verbatim(dst []byte, _ string, value []byte) []byte { return append(dst, value...) }
