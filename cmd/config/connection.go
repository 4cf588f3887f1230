package config

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// connection is one named connection.
type connection struct {
	name string
	kind string
	section
}

// connections reads and checks every connection of every document.
func (r *reader) readConnections(docs []*document) {
	for _, d := range docs {
		key, list := find(d.root, "connections")
		if key == nil {
			continue
		}
		top := section{doc: d, key: key, value: list, path: "connections", outer: []scope{{"", keysOf[root]()}}}
		if list.Kind != yaml.MappingNode {
			r.add(top.at(), codeValue, "such as kafka-eu: {kafka: {brokers: [...]}}", "connections has to be a mapping of names to connections")
			continue
		}
		for i := 0; i+1 < len(list.Content); i += 2 {
			r.connection(top.child(list.Content[i].Value, list.Content[i], list.Content[i+1], top.outer))
		}
	}
}

func (r *reader) connection(s section) {
	name := s.key.Value
	if i := slices.IndexFunc(r.named, func(c connection) bool { return c.name == name }); i >= 0 {
		r.add(s.at(), codeDuplicate, "it stands in "+r.named[i].at().String()+" already", "the connection %q stands twice", name)
		return
	}
	kinds := r.kinds()
	if s.value.Kind != yaml.MappingNode || len(s.value.Content) != 2 {
		r.add(s.at(), codeConnection, "such as "+name+": {"+strings.Join(kinds[:1], "")+": {...}}; there is "+strings.Join(kinds, ", "),
			"the connection %q has to name one kind", name)
		return
	}
	key, value := s.value.Content[0], s.value.Content[1]
	if !slices.Contains(kinds, key.Value) {
		r.add(s.doc.at(key), codeConnection, didYouMean(key.Value, kinds), "unknown kind of connection %q", key.Value)
		return
	}
	c := connection{name, key.Value, s.child(key.Value, key, value, s.in(kinds))}
	r.named = append(r.named, c)
	if into := r.newConnection(c.kind); into != nil {
		r.decode(c.section, into)
		if v, ok := into.(connectors.Validator); ok {
			r.faults(end{section: c.section}, v.Validate())
		}
	}
}

// kinds returns the kinds of connections there are.
func (r *reader) kinds() []string {
	var kinds []string
	for _, p := range r.registry.Plugins() {
		if p.Connection != "" && !slices.Contains(kinds, p.Connection) {
			kinds = append(kinds, p.Connection)
		}
	}
	return append(kinds, []string{"(none is built in)"}[min(len(kinds), 1):]...)
}

// newConnection returns a kind's configuration with its defaults, or nil.
func (r *reader) newConnection(kind string) any {
	for _, p := range r.registry.Plugins() {
		if p.Connection == kind && p.NewConnection != nil {
			return p.NewConnection()
		}
	}
	return nil
}

// connectionOf finds the connection that a section uses: the one it names, or the only one of its kind
// unless the section says by itself how to connect.
func (r *reader) connectionOf(e end) (*section, bool) {
	kind := e.plugin.Connection
	if kind == "" {
		return nil, true
	}
	var names []string
	for _, c := range r.named {
		if c.kind == kind {
			names = append(names, c.name)
		}
	}
	key, value := find(e.section.value, "connection")
	if key == nil {
		switch {
		case len(names) == 0 || r.connectsItself(e):
			return nil, true
		case len(names) > 1:
			r.add(e.section.at(), codeConnection, "add connection: "+strings.Join(names, " or connection: "),
				"%s does not say which connection it uses", e.section.path)
			return nil, false
		}
		return r.connectionNamed(names[0]), true
	}
	at := e.section.doc.at(value)
	switch {
	case value.Kind != yaml.ScalarNode:
		r.add(at, codeConnection, "name one of connections", "connection has to be a name")
	case slices.Contains(names, value.Value):
		return r.connectionNamed(value.Value), true
	case r.connectionNamed(value.Value) != nil:
		r.add(at, codeConnection, didYouMean(value.Value, names), "the connection %q is not of the kind %s", value.Value, kind)
	default:
		hint := didYouMean(value.Value, names)
		if len(names) == 0 {
			hint = "add connections: {" + value.Value + ": {" + kind + ": {...}}}"
		}
		r.add(at, codeConnection, hint, "there is no connection %q", value.Value)
	}
	return nil, false
}

func (r *reader) connectionNamed(name string) *section {
	for i := range r.named {
		if r.named[i].name == name {
			return &r.named[i].section
		}
	}
	return nil
}

// connectsItself reports whether a section holds a key of its connection.
func (r *reader) connectsItself(e end) bool {
	into := r.newConnection(e.plugin.Connection)
	if into == nil {
		return false
	}
	t := reflect.TypeOf(into)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	return slices.ContainsFunc(fieldsOf(t.Elem()).names(), func(name string) bool {
		key, _ := find(e.section.value, name)
		return key != nil
	})
}
