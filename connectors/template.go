package connectors

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// Template is a text with {{ name }} places that are filled from a message. The names are topic and
// subject (both: where the message was read from), key, partition and offset. In a route's own mapping a place may
// be an expression too, whose value the bridge has made before (Message.Mapped).
type Template struct {
	source string
	parts  []part
}

type part struct {
	literal string
	name    string // empty: literal
	value   int    // of an expression: its number in Mapped.Values
}

// The names by which values of expressions pass through the escape of Append: one that is to be one word, such as
// one token of a subject, and one whose dots are to part it, as those of a topic's name do.
const (
	PlaceExpression = "expression"
	PlaceDotted     = "dotted"
)

// ParseTemplate compiles text. An unknown name, or a place that is not closed, is an error.
func ParseTemplate(text string) (*Template, error) { return ParseExpressions(text, nil) }

// ParseExpressions compiles a text whose places may be expressions. compile is asked for each place that is not
// just a name; at is where in text the expression begins, in bytes. It returns the number that the value will have
// in Mapped.Values, and whether the value's dots part it. Its error is returned as it is.
func ParseExpressions(text string, compile func(expression string, at int) (value int, dotted bool, err error)) (*Template, error) {
	t := &Template{source: text}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{{")
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, fmt.Errorf("%q: {{ without }}", text)
		}
		at := len(text) - len(after) + len(name) - len(strings.TrimLeft(name, " \t\r\n"))
		name = strings.TrimSpace(name)
		p := part{name: name}
		switch name {
		case "topic", "subject", "key", "partition", "offset":
		default:
			if compile == nil {
				return nil, fmt.Errorf("%q: unknown name %q, the names are topic, subject, key, partition, offset", text, name)
			}
			value, dotted, err := compile(name, at)
			if err != nil {
				return nil, err
			}
			if p = (part{name: PlaceExpression, value: value}); dotted {
				p.name = PlaceDotted
			}
		}
		t.parts = append(t.parts, p)
		rest = tail
	}
	return t, nil
}

// String returns the text that was parsed.
func (t *Template) String() string { return t.source }

// Prefix returns the literal text before the first place.
func (t *Template) Prefix() string {
	if len(t.parts) > 0 && t.parts[0].name == "" {
		return t.parts[0].literal
	}
	return ""
}

// Constant reports whether the template has no places.
func (t *Template) Constant() bool {
	return len(t.parts) == 0 || len(t.parts) == 1 && t.parts[0].name == ""
}

// Names reports whether a place has one of the names, PlaceExpression and PlaceDotted among them.
func (t *Template) Names(names ...string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.name != "" && slices.Contains(names, p.name) })
}

// Append fills the template for m of b and appends it to dst. Filled-in values pass through escape,
// literal text and numbers do not. Escape appends the value in the form that is safe in the target; it
// neither keeps nor changes the value. Append allocates nothing but what dst grows by.
func (t *Template) Append(dst []byte, b *Batch, m *Message, escape func(dst []byte, name string, value []byte) []byte) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		switch p.name {
		case "":
			dst = append(dst, p.literal...)
		case "topic", "subject":
			dst = escape(dst, p.name, bytesOf(m.Subject))
		case "key":
			dst = escape(dst, p.name, m.Key)
		case "partition":
			dst = escape(dst, p.name, bytesOf(partitionNumber(b.Partition)))
		case "offset":
			dst = strconv.AppendInt(dst, m.Offset, 10)
		default:
			dst = escape(dst, p.name, m.Mapped.value(p.value))
		}
	}
	return dst
}

// value returns the value of an expression; there is none where the message was not mapped, such as in a sample.
func (m *Mapped) value(n int) []byte {
	if m == nil || n >= len(m.Values) {
		return nil
	}
	return m.Values[n]
}

// bytesOf lends the bytes of s without a copy; nobody may change them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// partitionNumber returns what follows the last slash of a partition's name.
func partitionNumber(partition string) string {
	return partition[strings.LastIndexByte(partition, '/')+1:]
}
