package transform

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

const (
	maxExpression = 4 << 10
	maxNodes      = 256
	maxShown      = 200 // of an expression in an error
)

// functions are those of the language that take no time and memory beyond what they are given.
func functions() []string {
	return []string{
		"len", "lower", "upper", "trim", "trimPrefix", "trimSuffix", "split", "hasPrefix", "hasSuffix", "indexOf", "lastIndexOf",
		"int", "float", "string", "abs", "min", "max", "round", "floor", "ceil", "date", "duration",
	}
}

// Error is what is wrong with an expression.
type Error struct {
	Expression string
	Column     int // within the expression, in characters from 1; 0: all of it
	At         int // where the expression begins in the template it is in, in bytes
	Text       string
}

func (e *Error) Error() string {
	if e.Column == 0 {
		return fmt.Sprintf("%s: %s", quoted(e.Expression), e.Text)
	}
	return fmt.Sprintf("%s, column %d: %s", quoted(e.Expression), e.Column, e.Text)
}

// quoted is an expression as people read it best: it has quotes of its own.
func quoted(text string) string {
	if text = strings.TrimSpace(text); len(text) <= maxShown && strconv.CanBackquote(text) {
		return "`" + text + "`"
	}
	return fmt.Sprintf("%.*q", maxShown, text)
}

// expression is one that is compiled. It is read-only.
type expression struct {
	what    string // it is for, such as map.subject
	text    string
	program *vm.Program
	names   []string // what it asks of the message
	dotted  bool
}

// compile checks an expression and compiles it. filter: it has to be true or false; else a text or a number.
func compile(what, text string, filter bool) (*expression, error) {
	if len(text) > maxExpression {
		return nil, &Error{Expression: text, Text: fmt.Sprintf("it has %d bytes, the limit is %d", len(text), maxExpression)}
	}
	if text == "" {
		return nil, &Error{Expression: text, Text: "there is nothing in it"}
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, located(text, err)
	}
	g := &guard{root: tree.Node}
	ast.Walk(&tree.Node, g)
	ast.Walk(&tree.Node, (*leftovers)(g))
	if g.wrong != nil {
		return nil, located(text, g.wrong)
	}
	options := append(bounded(),
		expr.Env(g.environment()), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins(), expr.Patch(&guard{}))
	for _, name := range functions() {
		options = append(options, expr.EnableBuiltin(name))
	}
	if filter {
		options = append(options, expr.AsBool())
	}
	program, err := expr.Compile(text, options...)
	if err != nil {
		return nil, located(text, err)
	}
	e := &expression{what: what, text: text, program: program, names: g.names, dotted: g.dotted}
	if made := program.Node().Type(); !filter && !textual(made) {
		return nil, &Error{Expression: text, Text: fmt.Sprintf("it gives a %s, which is no text, number, time, true or false", made)}
	}
	return e, nil
}

// textual reports whether what has a type can stand in a template; what may be anything is looked at when it is there.
func textual(t reflect.Type) bool {
	if t == nil {
		return false // nil itself
	}
	switch t {
	case reflect.TypeFor[string](), reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int64](),
		reflect.TypeFor[float64](), reflect.TypeFor[time.Time](), reflect.TypeFor[any]():
		return true
	}
	return false
}

// located returns an error of the language as one of ours.
func located(text string, err error) error {
	e := &Error{Expression: text, Text: err.Error()}
	var at *file.Error
	if errors.As(err, &at) {
		e.Column, e.Text = at.From+1, at.Message
	}
	if strings.Contains(e.Text, "exceeds maximum allowed nodes") {
		e.Text = fmt.Sprintf("it is too long: it has more than %d parts", maxNodes)
	}
	return e
}

// headerName is by what name an expression finds the value of a header.
func headerName(header string) string { return "headers." + header }

// guard refuses what could run away, makes one name of headers["x"], and notes which names are asked for.
type guard struct {
	root   ast.Node
	wrong  *file.Error
	names  []string
	dotted bool
}

func (g *guard) refuse(n ast.Node, format string, args ...any) {
	if g.wrong == nil {
		g.wrong = &file.Error{Location: n.Location(), Message: fmt.Sprintf(format, args...)}
	}
}

// Visit implements ast.Visitor. What is in a node was visited before.
func (g *guard) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		of, ok := n.Node.(*ast.IdentifierNode)
		if !ok || of.Value != "headers" {
			return
		}
		name, ok := n.Property.(*ast.StringNode)
		if !ok {
			g.refuse(n, `the name of a header has to be written out: headers["name"]`)
			return
		}
		ast.Patch(node, &ast.IdentifierNode{Value: headerName(name.Value)})
	case *ast.BinaryNode:
		switch _, fixed := n.Right.(*ast.StringNode); {
		case n.Operator == "..":
			g.refuse(n, "there are no ranges here")
		case n.Operator == "matches" && !fixed:
			g.refuse(n, "the pattern has to be written out, in quotes")
		}
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		g.refuse(n, "there are no variables here; write one expression")
	case *ast.BuiltinNode:
		if !slices.Contains(functions(), n.Name) && n.Name != "replace" && n.Name != "join" {
			g.refuse(n, "unknown name %s", n.Name) // to the parser some are no names that could be turned off
		}
	case *ast.CallNode:
		g.call(n)
	}
}

func (g *guard) call(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return
	}
	switch callee.Value {
	case "json":
		path := ""
		if len(n.Arguments) == 1 {
			if text, ok := n.Arguments[0].(*ast.StringNode); ok {
				path = text.Value
			}
		}
		if path == "" || strings.ContainsAny(path, `@#|*?{}[]()!"`) {
			g.refuse(n, `json wants a path that is written out, names and numbers with dots: json("user.ids.0")`)
		}
	case "dotted":
		if g.dotted = ast.Node(n) == g.root; !g.dotted {
			g.refuse(n, "dotted(...) has to be around the whole expression")
		}
	}
}

// leftovers is the guard's second look, at what the first has left: names.
type leftovers guard

// Visit implements ast.Visitor.
func (l *leftovers) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.IdentifierNode)
	if !ok {
		return
	}
	g := (*guard)(l)
	switch n.Value {
	case "headers":
		g.refuse(n, `a header is asked for by its name: headers["name"]`)
	case "$env":
		g.refuse(n, "unknown name $env")
	}
	if !slices.Contains(g.names, n.Value) {
		g.names = append(g.names, n.Value)
	}
}

// environment is what there is, with its types.
func (g *guard) environment() types.Map {
	text, whole, any1 := types.String, types.Int, types.TypeOf(func(any) any { return nil })
	env := types.Map{
		"topic": text, "subject": text, "key": text, "route": text, "partition": whole, "offset": whole, "size": whole,
		"time": types.TypeOf(time.Time{}), "tokens": types.TypeOf([]string(nil)), "json": any1, "dotted": any1,
	}
	for _, name := range g.names {
		if strings.HasPrefix(name, headerName("")) {
			env[name] = types.Any
		}
	}
	return env
}

// bounded are functions that could make more than they are given, and are not let to.
func bounded() []expr.Option {
	return []expr.Option{
		expr.Function("replace", func(args ...any) (any, error) {
			text, old, with := args[0].(string), args[1].(string), args[2].(string)
			if len(text)+strings.Count(text, old)*(len(with)-len(old)) > maxText {
				return nil, muchOf("replace would make more than %d bytes", maxText)
			}
			return strings.ReplaceAll(text, old, with), nil
		}, strings.ReplaceAll),
		expr.Function("join", func(args ...any) (any, error) {
			parts, between := args[0].([]string), args[1].(string)
			size := len(between) * len(parts)
			for _, p := range parts {
				size += len(p)
			}
			if size > maxText {
				return nil, muchOf("join would make more than %d bytes", maxText)
			}
			return strings.Join(parts, between), nil
		}, strings.Join),
	}
}

// Names are what expressions may ask for, for people.
func Names() []string {
	return []string{"topic", "subject", "tokens", "partition", "offset", "key", `headers["name"]`, "time", "size", "route", `json("path")`}
}
