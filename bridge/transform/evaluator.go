package transform

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"github.com/tidwall/gjson"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	maxText = 64 << 10 // of a text that an expression reads or replace and join make
	maxJSON = 1 << 20  // of a value that json reads
	maxMade = 4 << 10  // of what an expression makes

	memoryBudget = 1_000_000 // elements of lists that one run of an expression may make
)

// Evaluator runs a Program. What it makes of messages is valid until Reset. It has one user at a time.
type Evaluator struct {
	p       *Program
	vm      vm.VM
	env     map[string]any
	texts   map[string]*text
	message *connectors.Message // that env is of

	values  []byte // of expressions and of headers that are set
	lists   [][]byte
	headers []connectors.Header
	mapped  []connectors.Mapped
}

// text is one that is kept in the form that expressions want it in, for many messages have the same.
type text struct {
	text  string
	value any
}

// Evaluator returns a new one, nil for a nil Program.
func (p *Program) Evaluator() *Evaluator {
	if p == nil {
		return nil
	}
	e := &Evaluator{p: p, env: map[string]any{"route": p.route}, texts: map[string]*text{}}
	e.vm.MemoryBudget = memoryBudget
	e.env["json"] = e.field
	e.env["dotted"] = func(x any) any { return x }
	return e
}

// Reset forgets what was made, whose memory is used again.
func (e *Evaluator) Reset() {
	if e == nil {
		return
	}
	clear(e.headers)
	clear(e.mapped)
	e.values, e.lists, e.headers, e.mapped = e.values[:0], e.lists[:0], e.headers[:0], e.mapped[:0]
	e.message = nil
	if _, used := e.env["tokens"]; used {
		e.env["tokens"] = nil // they are parts of the message's own memory
	}
}

// Made is how many bytes have been made since Reset.
func (e *Evaluator) Made() int { return len(e.values) }

// Passes reports what the filter says of m, which is of b. The error is Permanent: what failed is the message's.
// All messages pass a nil Evaluator.
func (e *Evaluator) Passes(b *connectors.Batch, m *connectors.Message) (bool, error) {
	if e == nil || e.p.filter == nil {
		return true, nil
	}
	f := e.p.filter
	if err := e.load(e.p.first, b, m); err != nil {
		return false, err
	}
	result, err := e.run(f)
	if err != nil {
		return false, err
	}
	passes, ok := result.(bool)
	if !ok {
		return false, f.fault("it gives %s, which is neither true nor false", kindOf(result))
	}
	return passes, nil
}

// Map returns m, which is of b and which Passes was asked about before, as a sink is to be given it. The error is as
// that of Passes. A nil Evaluator leaves it as it is.
func (e *Evaluator) Map(b *connectors.Batch, m *connectors.Message) (connectors.Message, error) {
	if e == nil || len(e.p.values) == 0 && e.p.header.none() {
		return *m, nil
	}
	p := e.p
	if err := e.load(p.rest, b, m); err != nil {
		return *m, err
	}
	first := len(e.lists)
	for _, v := range p.values {
		start := len(e.values)
		if err := e.make(v); err != nil {
			return *m, err
		}
		e.lists = append(e.lists, e.values[start:len(e.values):len(e.values)])
	}
	e.mapped = append(e.mapped, connectors.Mapped{Values: e.lists[first:len(e.lists):len(e.lists)], Original: m})
	out := *m
	out.Mapped = &e.mapped[len(e.mapped)-1]
	if !p.header.none() {
		start := len(e.headers)
		var err error
		if e.headers, e.values, err = p.header.apply(e.headers, e.values, b, &out); err != nil {
			return *m, err
		}
		out.Headers = e.headers[start:len(e.headers):len(e.headers)]
	}
	return out, nil
}

// run runs one expression on what is loaded.
func (e *Evaluator) run(x *expression) (any, error) {
	result, err := e.vm.Run(x.program, e.env)
	if err == nil {
		return result, nil
	}
	var at *file.Error
	var much *tooMuch
	switch {
	case errors.As(err, &much):
		return nil, x.fault("%w", much)
	case errors.As(err, &at):
		return nil, x.fault("column %d: %s", at.From+1, harmless(at.Message))
	}
	return nil, x.fault("%s", harmless(err.Error()))
}

// tooMuch is our own error of a function: one of sizes.
type tooMuch struct{ text string }

func (e *tooMuch) Error() string { return e.text }

func muchOf(format string, args ...any) error { return &tooMuch{fmt.Sprintf(format, args...)} }

// harmless returns what the language says of a message without what the message holds, which is nobody's who reads
// logs: only where things are counted, and the names of types.
func harmless(text string) string {
	const known = " string int float64 bool []string []interface time.Time time.Duration nil <nil> map[string]interface uint8 " +
		"invalid operation index out of range array length is memory budget exceeded cannot fetch from integer divide by zero runtime error "
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" :(){}<>=!+-*/%,0123456789", r) })
	for _, w := range words {
		if !strings.Contains(known, " "+w+" ") && !strings.Contains(known, "<"+w+">") {
			return "it does not work for what this message holds"
		}
	}
	return text
}

// make appends the value of an expression to values.
func (e *Evaluator) make(x *expression) error {
	result, err := e.run(x)
	if err != nil {
		return err
	}
	start := len(e.values)
	switch r := result.(type) {
	case string:
		if len(r) > maxMade {
			return x.fault("it makes %d bytes, the limit is %d", len(r), maxMade)
		}
		e.values = append(e.values, r...)
	case int:
		e.values = strconv.AppendInt(e.values, int64(r), 10)
	case int64:
		e.values = strconv.AppendInt(e.values, r, 10)
	case float64:
		e.values = strconv.AppendFloat(e.values, r, 'f', -1, 64)
	case bool:
		e.values = strconv.AppendBool(e.values, r)
	case time.Time:
		e.values = r.AppendFormat(e.values, time.RFC3339Nano)
	default:
		return x.fault("it gives %s; write ?? and what to take then behind it", kindOf(result))
	}
	if n := len(e.values) - start; n > maxMade {
		e.values = e.values[:start]
		return x.fault("it makes %d bytes, the limit is %d", n, maxMade)
	}
	return nil
}

// kindOf names what an expression gave.
func kindOf(result any) string {
	if result == nil {
		return "nothing"
	}
	return fmt.Sprintf("a %T", result)
}

// load puts what an expression asks of a message into the environment.
func (e *Evaluator) load(names []string, b *connectors.Batch, m *connectors.Message) error {
	e.message = m
	for _, name := range names {
		switch name {
		case "topic", "subject":
			e.env[name] = e.textOf(name, []byte(m.Subject)) // no copy
		case "tokens":
			e.env[name] = strings.Split(m.Subject, ".")
		case "partition":
			e.env[name] = partitionOf(b)
		case "offset":
			e.env[name] = int(m.Offset)
		case "key":
			if len(m.Key) > maxText {
				return tooLong("the key has %d bytes, expressions read at most %d", len(m.Key), maxText)
			}
			e.env[name] = e.textOf(name, m.Key)
		case "time":
			e.env[name] = m.Time.UTC()
		case "size":
			e.env[name] = len(m.Value)
		default:
			header, ok := strings.CutPrefix(name, headerName(""))
			if !ok {
				continue // a function, or what is always there
			}
			value, found := find(m.Headers, header)
			switch {
			case !found:
				e.env[name] = nil
			case len(value) > maxText:
				return tooLong("the header %.100q has %d bytes, expressions read at most %d", header, len(value), maxText)
			default:
				e.env[name] = e.textOf(name, value)
			}
		}
	}
	return nil
}

func tooLong(format string, args ...any) error {
	return connectors.Permanent(fmt.Errorf("filter and map: "+format, args...))
}

// textOf returns a text as expressions want it. A short one that is that of the message before costs nothing. It is
// always a copy: value is of memory that the source uses again once the message is done with, and may be a
// subject's, which looks like any string.
func (e *Evaluator) textOf(name string, value []byte) any {
	const short = 256
	t := e.texts[name]
	switch {
	case t == nil:
		t = &text{}
		e.texts[name] = t
	case t.value != nil && t.text == string(value):
		return t.value
	}
	if len(value) > short {
		return string(value)
	}
	t.text = string(value)
	t.value = t.text
	return t.value
}

// find returns the first value of a header.
func find(headers []connectors.Header, name string) ([]byte, bool) {
	for i := range headers {
		if headers[i].Key == name {
			return headers[i].Value, true
		}
	}
	return nil, false
}

// partitionOf returns the number behind the last slash of a partition's name, -1 where there is none.
func partitionOf(b *connectors.Batch) int {
	at := strings.LastIndexByte(b.Partition, '/')
	n, err := strconv.ParseUint(b.Partition[at+1:], 10, 31)
	if at < 0 || err != nil {
		return -1
	}
	return int(n)
}

// field is the function json. What it panics with is the error of the expression: the language has no other way for
// a function of this form.
func (e *Evaluator) field(path any) any {
	if n := len(e.message.Value); n > maxJSON {
		panic(muchOf("the value has %d bytes, json reads at most %d", n, maxJSON))
	}
	r := gjson.GetBytes(e.message.Value, path.(string))
	switch r.Type {
	case gjson.True:
		return true
	case gjson.False:
		return false
	case gjson.Number:
		return number(r)
	case gjson.String:
		return limited(r.Str)
	case gjson.JSON:
		return limited(r.Raw)
	}
	return nil
}

// limited returns a text that is no longer than expressions read.
func limited(text string) string {
	if len(text) > maxText {
		panic(muchOf("the field has %d bytes, expressions read at most %d", len(text), maxText))
	}
	return text
}

// number keeps a whole number exact, one that is too large for that as its text.
func number(r gjson.Result) any {
	if strings.ContainsAny(r.Raw, ".eE") {
		return r.Num
	}
	n, err := strconv.ParseInt(r.Raw, 10, 64)
	switch {
	case err == nil:
		return int(n)
	case math.Abs(r.Num) > 1<<53:
		return limited(r.Raw)
	}
	return r.Num
}
