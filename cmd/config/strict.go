package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// scope is a mapping that encloses the one being read: a key that is unknown here may belong there.
type scope struct {
	path string
	keys []string
}

// section is a value of a document with what is needed to speak about it.
type section struct {
	doc   *document
	key   *yaml.Node // where to point when the section itself is to blame
	value *yaml.Node
	path  string  // such as routes.orders.window; empty at the top
	outer []scope // the nearest last
}

func (s section) at() place { return s.doc.at(s.key) }

// in returns the enclosing scopes of what is inside s.
func (s section) in(keys []string) []scope {
	return append(slices.Clip(s.outer), scope{s.path, keys})
}

func (s section) child(name string, key, value *yaml.Node, outer []scope) section {
	path := name
	if s.path != "" {
		path = s.path + "." + name
	}
	return section{doc: s.doc, key: key, value: value, path: path, outer: outer}
}

// find returns the child called name of a mapping.
func find(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// decode reads s into a pointer to a struct: unknown keys and wrong values are findings, and everything
// else of the section is still read, so that all faults come at once.
func (l *lint) decode(s section, into any) {
	if s.value.Kind == yaml.ScalarNode && s.value.Tag == "!!null" {
		return
	}
	l.keys(s, reflect.TypeOf(into).Elem())
	err := s.value.Load(into)
	var all *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case err == nil:
	case errors.As(err, &all):
		for _, e := range all.Errors {
			l.value(s, e)
		}
	case errors.As(err, &one):
		l.value(s, one)
	default:
		l.add(s.at(), codeValue, "", "%s: %s", s.path, err)
	}
	l.keepSecrets(s.doc, s.value, reflect.ValueOf(into).Elem())
}

// keepSecrets notes the secrets of a struct that was loaded from n, whatever their keys are called, and has those of
// files stay what their files hold, instead of what they held when they were read.
func (l *lint) keepSecrets(d *document, n *yaml.Node, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if slices.Contains(strings.Split(options, ","), "inline") {
			l.keepSecrets(d, n, v.Field(i))
			continue
		}
		_, value := find(n, name)
		if value == nil || !v.Field(i).CanSet() {
			continue
		}
		secret, ok := v.Field(i).Addr().Interface().(*connectors.Secret)
		path, inFile := d.files[value]
		switch {
		case !ok:
			l.keepSecrets(d, value, v.Field(i))
		case inFile:
			*secret = connectors.SecretFile(path)
		default:
			l.addAll(value)
		}
	}
}

var cannotConstruct = regexp.MustCompile("^cannot construct (?s:.*) into (.+)$")

// value reports one value that its key cannot hold.
func (l *lint) value(s section, e *yaml.LoadError) {
	at := place{s.doc, e.Mark.Line, e.Mark.Column}
	if e.Mark.Line == 0 {
		at = s.at()
	}
	text := e.Message
	if inner := errors.Unwrap(e); inner != nil {
		text = inner.Error()
	}
	m := cannotConstruct.FindStringSubmatch(text)
	if m == nil {
		l.add(at, codeValue, "", "%s", text)
		return
	}
	// The reader shortens the value it names, so that it is taken from the file.
	want, value := kindName(m[1]), nodeAt(s.value, at.line, at.column)
	switch {
	case value == nil || value.Kind != yaml.ScalarNode:
		l.add(at, codeValue, "", "this has to be %s", want)
	case want == "a list":
		l.add(at, codeValue, fmt.Sprintf("write [%s]", value.Value), "%q is not a list", value.Value)
	default:
		l.add(at, codeValue, "", "%q is not %s", value.Value, want)
	}
}

// nodeAt returns the innermost node of a tree that stands at a place.
func nodeAt(n *yaml.Node, line, column int) *yaml.Node {
	for _, child := range n.Content {
		if found := nodeAt(child, line, column); found != nil {
			return found
		}
	}
	if n.Line == line && n.Column == column {
		return n
	}
	return nil
}

// kindName says in words what a Go type wants.
func kindName(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.Contains(goType, "int"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "bool":
		return "true or false"
	case goType == "string" || strings.HasSuffix(goType, ".template"):
		return "text"
	}
	return "a mapping of keys to values"
}

// opaque reports whether a type reads its value by itself.
func opaque(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t == reflect.TypeFor[yaml.Node]() || p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[decoder]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// decoder is the form of yaml.Unmarshaler that connectors use, for it needs no import of the reader.
type decoder interface {
	UnmarshalYAML(decode func(any) error) error
}

// keys reports every key below s that type t has no place for.
func (l *lint) keys(s section, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if opaque(t) {
		return
	}
	n := s.value
	switch {
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		known := fieldsOf(t)
		names := known.names()
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if f, ok := known.types[key.Value]; ok {
				if value.Kind == yaml.ScalarNode && value.Tag == "!!null" && reflect.PointerTo(f).Implements(reflect.TypeFor[decoder]()) {
					// Its type is not asked, and what a connection says would be forgotten: with tls, that it is secured.
					l.add(s.doc.at(key), codeValue, "write it, or leave the key out", "%s.%s has no value", s.path, key.Value)
				}
				l.keys(s.child(key.Value, key, value, s.in(names)), f)
			} else if !known.open {
				l.unknownKey(s, key, known)
			}
		}
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, value := range n.Content {
			l.keys(s.child(fmt.Sprintf("%d", i), value, value, s.outer), t.Elem())
		}
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			l.keys(s.child(n.Content[i].Value, n.Content[i], n.Content[i+1], s.outer), t.Elem())
		}
	}
}

// unknownKey reports a key that s has no place for, and where it may belong.
func (l *lint) unknownKey(s section, key *yaml.Node, known fields) {
	where := "at the top"
	if s.path != "" {
		where = "in " + s.path
	}
	l.add(s.doc.at(key), codeUnknownKey, belongs(s, key.Value, known), "unknown key %q %s", key.Value, where)
}

// belongs says where a key that is unknown in s is known: further out, further in, or by a similar name.
func belongs(s section, key string, known fields) string {
	levels := []string{"one level", "two levels", "three levels", "four levels"}
	for up := range min(len(s.outer), len(levels)) {
		outer := s.outer[len(s.outer)-1-up]
		if slices.Contains(outer.keys, key) {
			if outer.path == "" {
				return fmt.Sprintf("it belongs %s up, at the top", levels[up])
			}
			return fmt.Sprintf("it belongs %s up in %s", levels[up], outer.path)
		}
	}
	for _, name := range known.names() {
		t := known.types[name]
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct && !opaque(t) && slices.Contains(fieldsOf(t).names(), key) {
			return fmt.Sprintf("it belongs one level down in %s", name)
		}
	}
	return didYouMean(key, known.names())
}

// fields are the keys a struct has in YAML.
type fields struct {
	types map[string]reflect.Type
	order []string
	open  bool // an inlined map takes any key
}

func (f fields) names() []string { return f.order }

func fieldsOf(t reflect.Type) fields {
	f := fields{types: map[string]reflect.Type{}}
	f.collect(t, 0)
	return f
}

func (f *fields) collect(t reflect.Type, depth int) {
	const deepest = 8 // of inlined structs; a type that inlines itself would not end
	for i := range t.NumField() {
		field := t.Field(i)
		switch name, inline := yamlKey(&field); {
		case inline:
			inner := field.Type
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && depth < deepest {
				f.collect(inner, depth+1)
			} else {
				f.open = true
			}
		case name != "":
			f.types[name] = field.Type
			f.order = append(f.order, name)
		}
	}
}

// yamlKey returns the key of a struct's field, empty for one that is not read. inline: the keys of what it holds stand
// in its place.
func yamlKey(field *reflect.StructField) (name string, inline bool) {
	name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	switch {
	case name == "-" || !field.IsExported() && !field.Anonymous:
		return "", false
	case slices.Contains(strings.Split(options, ","), "inline"):
		return "", true
	}
	return cmp.Or(name, strings.ToLower(field.Name)), false
}

// keysOf returns the keys that a struct has in YAML.
func keysOf[T any]() []string { return fieldsOf(reflect.TypeFor[T]()).names() }
