package config

import (
	_ "embed"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// comments.json holds the comments of the structs that the configuration is read into, as they stand in the source: by
// package, type and field. A test keeps it so.
//
//go:embed comments.json
var comments []byte

// Comments returns the comments of the connectors of this repository and of this package, for Describe.
func Comments() (map[string]string, error) {
	var all map[string]string
	if err := json.Unmarshal(comments, &all); err != nil {
		return nil, fmt.Errorf("comments.json: %w", err)
	}
	return all, nil
}

// Description is what a file may hold.
type Description struct {
	root        []key
	connections []part
	sources     []part
	sinks       []part
	route       []key
	deadLetter  []key
	defaults    []key
}

// part is what may stand below the name of a connector, or of a kind of connection.
type part struct {
	name string
	keys []key
}

// key is what may stand under one key.
type key struct {
	name, words, text string
	def               any // its default; nil: none, or nothing
	schema            map[string]any
	keys              []key // of a mapping
}

// Describe describes what a build with these connectors reads. comments are those of struct fields, as Comments has them.
func Describe(registry *connectors.Registry, comments map[string]string) *Description {
	d := describer(comments)
	f, defaults := newRouteFile(), defaultsFile{Window: newRouteFile().Window, Retry: newRouteFile().Retry}
	top := newRoot()
	out := &Description{
		root: d.keys(reflect.ValueOf(top)), route: d.keys(reflect.ValueOf(f)), defaults: d.keys(reflect.ValueOf(defaults)),
		deadLetter: d.keys(reflect.ValueOf(deadLetterFile{})),
	}
	for i := range out.defaults {
		of := &out.defaults[i]
		if j := slices.IndexFunc(out.route, func(k key) bool { return k.name == of.name }); j >= 0 {
			of.text = out.route[j].text
		}
	}
	for _, p := range registry.Plugins() {
		known := func(s part) bool { return s.name == p.Connection }
		if p.NewConnection != nil && !slices.ContainsFunc(out.connections, known) {
			out.connections = append(out.connections, part{p.Connection, d.keys(reflect.ValueOf(p.NewConnection()))})
		}
		about := connectors.About{Route: "<route>"}
		read := func(factory func(connectors.Decode, connectors.About) error) (all []key) {
			if p.Connection != "" {
				all = append(all, key{name: "connection", words: "text", text: "the named connection to use; may be left out where there is one of the kind", schema: textual()})
			}
			errSeen := errors.New("seen")
			// A factory reads its section first of all, into its defaults.
			_ = factory(func(into any) error {
				all = append(all, d.keys(reflect.ValueOf(into))...)
				return errSeen
			}, about)
			return all
		}
		if p.Source != nil {
			out.sources = append(out.sources, part{p.Name, read(func(c connectors.Decode, a connectors.About) error { _, err := p.Source(c, a); return err })})
		}
		if p.Sink != nil {
			out.sinks = append(out.sinks, part{p.Name, read(func(c connectors.Decode, a connectors.About) error { _, err := p.Sink(c, a); return err })})
		}
	}
	return out
}

// describer knows the comments of fields.
type describer map[string]string

// keys are those that a struct has in YAML, with the values it holds as defaults.
func (d describer) keys(v reflect.Value) (all []key) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		v = v.Elem()
	}
	t := v.Type()
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		field := t.Field(i)
		switch name, inline := yamlKey(&field); {
		case inline:
			all = append(all, d.keys(v.Field(i))...)
		case name != "":
			k := d.key(v.Field(i), field.Tag.Get("enum"))
			k.name = name
			k.text = d[path.Base(t.PkgPath())+"."+t.Name()+"."+field.Name]
			all = append(all, k)
		}
	}
	return all
}

// key describes a value without its name.
func (d describer) key(v reflect.Value, enum string) key {
	t := v.Type()
	p := reflect.PointerTo(t)
	k := key{words: "text", schema: textual()}
	if !v.IsZero() {
		k.def = defaultOf(v)
	}
	switch {
	case enum != "":
		words := strings.Split(enum, ",")
		k.words, k.schema = strings.Join(words, ", "), anyOf(map[string]any{"enum": words}, placeholderRef())
	case t == reflect.TypeFor[connectors.List]():
		k.words, k.schema = "list, or text with commas", anyOf(textual(), map[string]any{"type": "array", "items": textual()})
	case t == reflect.TypeFor[connectors.TLS]():
		k.keys = d.keys(v)
		k.words, k.schema = "true, or a mapping", anyOf(map[string]any{"type": "boolean"}, object(k.keys), placeholderRef())
	case t == reflect.TypeFor[connectors.Duration]():
		k.words, k.schema = "duration, such as 250ms", map[string]any{"type": "string"}
	case t == reflect.TypeFor[connectors.Size]():
		k.words, k.schema = "size, such as 64MiB", map[string]any{"type": "string"}
	case p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
	case t == reflect.TypeFor[yaml.Node]() || opaque(t):
		k.words, k.schema = "", map[string]any{}
	case t.Kind() == reflect.Pointer:
		return d.key(reflect.New(t.Elem()).Elem(), enum)
	case t.Kind() == reflect.Struct:
		k.keys, k.def = d.keys(v), nil
		k.words, k.schema = "mapping", object(k.keys)
	case t.Kind() == reflect.Bool:
		k.words, k.schema = "true or false", anyOf(map[string]any{"type": "boolean"}, placeholderRef())
	case v.CanInt() || v.CanUint():
		k.words, k.schema = "whole number", anyOf(map[string]any{"type": "integer"}, placeholderRef())
	case t.Kind() == reflect.Slice:
		k.words, k.schema = "list", map[string]any{"type": "array", "items": textual()}
	case t.Kind() == reflect.Map:
		k.words, k.schema = "mapping", map[string]any{"type": "object", "additionalProperties": textual()}
	}
	return k
}

// defaultOf is a default as a file would write it.
func defaultOf(v reflect.Value) any {
	switch list, ok := v.Interface().(connectors.List); {
	case ok:
		return strings.Join(list, ",")
	case v.Type().PkgPath() == "" && (v.CanInt() || v.Kind() == reflect.Bool):
		return v.Interface()
	}
	return fmt.Sprint(v.Interface())
}

// textual is a text: what YAML takes for a number stands for itself too.
func textual() map[string]any { return map[string]any{"type": []string{"string", "number"}} }

func anyOf(all ...map[string]any) map[string]any { return map[string]any{"anyOf": all} }

func placeholderRef() map[string]any { return map[string]any{"$ref": "#/definitions/placeholder"} }

// object is a mapping that has these keys and no others.
func object(keys []key) map[string]any {
	properties := map[string]any{}
	for _, k := range keys {
		one := map[string]any{}
		for name, value := range k.schema {
			one[name] = value
		}
		if k.text != "" {
			one["description"] = k.text
		}
		if k.def != nil {
			one["default"] = k.def
		}
		properties[k.name] = one
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}
