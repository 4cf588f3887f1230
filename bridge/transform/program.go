package transform

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-bridge/sluice/connectors"
)

// Program is the filter and the mapping of one route, compiled. It is read-only; each goroutine has an Evaluator.
type Program struct {
	route  string
	filter *expression // nil: every message passes
	values []*expression
	header headers
	first  []string // what the filter asks of a message
	rest   []string // what the values ask beyond that
	text   string   // of the filter
}

// maxValues is how many expressions a map holds at most.
const maxValues = 64

// Compiler makes the Program of a route from the parts of its configuration. Its errors are *Error where an
// expression is at fault.
type Compiler struct{ p Program }

// NewCompiler returns the compiler of a route.
func NewCompiler(route string) *Compiler { return &Compiler{Program{route: route}} }

// Filter compiles the route's filter.
func (c *Compiler) Filter(text string) (err error) {
	c.p.filter, err = compile("filter", text, true)
	c.p.text = text
	return err
}

// Template compiles a template of the route's map. what names it, such as map.subject.
func (c *Compiler) Template(what, text string) (*connectors.Template, error) {
	return connectors.ParseExpressions(text, func(expression string, at int) (int, bool, error) {
		if len(c.p.values) == maxValues {
			return 0, false, fmt.Errorf("a map holds at most %d expressions", maxValues)
		}
		e, err := compile(what, expression, false)
		if err != nil {
			var wrong *Error
			if errors.As(err, &wrong) {
				wrong.At = at
			}
			return 0, false, err
		}
		c.p.values = append(c.p.values, e)
		return len(c.p.values) - 1, e.dotted, nil
	})
}

// Program returns what was compiled, nil if that leaves every message as it is: where the templates hold nothing but
// names, the sinks fill them by themselves.
func (c *Compiler) Program() *Program {
	p := c.p
	if p.filter == nil && len(p.values) == 0 && p.header.none() {
		return nil
	}
	if p.filter != nil {
		p.first = p.filter.names
	}
	for _, e := range p.values {
		for _, name := range e.names {
			if !slices.Contains(p.first, name) && !slices.Contains(p.rest, name) {
				p.rest = append(p.rest, name)
			}
		}
	}
	return &p
}

// Filter returns the text of the filter, empty if there is none. Nil is a Program that does nothing.
func (p *Program) Filter() string {
	if p == nil {
		return ""
	}
	return p.text
}

// Headers says in words what is done to the headers, empty if nothing is.
func (p *Program) Headers() string {
	if p == nil {
		return ""
	}
	return p.header.String()
}

// fault is the error of one message.
func (e *expression) fault(format string, args ...any) error {
	return connectors.Permanent(fmt.Errorf("%s %s: %w", e.what, quoted(e.text), fmt.Errorf(format, args...)))
}
