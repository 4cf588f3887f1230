package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

// end is one section of a route that names its connector.
type end struct {
	plugin     connectors.Plugin
	section    section  // what stands below the connector's name
	connection *section // the named connection, decoded first; nil if none is used
}

// end finds the long or short form of one end below s. keys are the keys of s.
func (r *reader) end(s section, keys []string, which connectors.End, long, short string) (end, bool) {
	longKey, longValue := find(s.value, long)
	shortKey, shortValue := find(s.value, short)
	switch {
	case longKey != nil && shortKey != nil:
		r.add(s.doc.at(shortKey), codeConflict, "keep one of the two", "%s has both %s and %s", s.path, long, short)
		return end{}, false
	case longKey == nil && shortKey == nil:
		r.add(s.at(), codeMissing, "add "+long+": {<connector>: ...} or "+short+": <URL>", "%s has no %s", s.path, long)
		return end{}, false
	case longKey != nil:
		return r.longEnd(s.child(long, longKey, longValue, s.in(keys)), which)
	}
	return r.shortEnd(s.child(short, shortKey, shortValue, s.in(keys)), which)
}

func (r *reader) longEnd(s section, which connectors.End) (end, bool) {
	names := r.connectors(which)
	if s.value.Kind != yaml.MappingNode || len(s.value.Content) == 0 {
		r.add(s.at(), codeMissing, "such as "+names[0]+": {...}; there is "+strings.Join(names, ", "), "%s does not name its connector", s.path)
		return end{}, false
	}
	found := end{}
	ok := false
	for i := 0; i+1 < len(s.value.Content); i += 2 {
		key, value := s.value.Content[i], s.value.Content[i+1]
		plugin, known := r.registry.Lookup(key.Value)
		switch {
		case !known || !slices.Contains(names, key.Value):
			r.unknownConnector(s, key, names, known)
		case ok:
			r.add(s.doc.at(key), codeConflict, "write one route for each", "%s names a second connector, %q", s.path, key.Value)
		default:
			found, ok = end{plugin: plugin, section: s.child(key.Value, key, value, s.in(names))}, true
		}
	}
	if ok {
		found.connection, ok = r.connectionOf(found)
	}
	if found.connection != nil {
		r.used = append(r.used, *found.connection)
	}
	return found, ok
}

func (r *reader) unknownConnector(s section, key *yaml.Node, names []string, other bool) {
	at := s.doc.at(key)
	if other {
		r.add(at, codeConnector, "there is "+strings.Join(names, ", "), "the connector %q cannot be used in %s", key.Value, s.path)
		return
	}
	for up := range s.outer {
		if outer := s.outer[len(s.outer)-1-up]; slices.Contains(outer.keys, key.Value) {
			r.add(at, codeUnknownKey, belongs(s, key.Value, fields{}), "unknown key %q in %s", key.Value, s.path)
			return
		}
	}
	r.add(at, codeConnector, didYouMean(key.Value, names), "unknown connector %q in %s", key.Value, s.path)
}

// connectors returns the names of those that can be used as an end.
func (r *reader) connectors(which connectors.End) []string {
	var names []string
	for _, p := range r.registry.Plugins() {
		if which == connectors.SourceEnd && p.Source != nil || which == connectors.SinkEnd && p.Sink != nil {
			names = append(names, p.Name)
		}
	}
	return append(names, []string{"(none is built in)"}[min(len(names), 1):]...)
}

// note keeps where an end stands.
func (r *reader) note(rc *bridge.RouteConfig, e end, as End) {
	as.Route, as.Path, as.At = rc.Name, e.section.path, e.section.at().String()
	if e.connection != nil {
		as.Connection = strings.TrimSuffix(e.connection.path, "."+e.plugin.Connection)
	}
	r.cfg.Ends = append(r.cfg.Ends, as)
}

func (r *reader) source(e end, about connectors.About) *connectors.SourceSpec {
	spec, err := e.plugin.Source(r.decoder(e), about)
	r.faults(e, err)
	if spec != nil && err == nil {
		r.claims(e.section.at(), about.Route, spec.Claims)
	}
	return spec
}

func (r *reader) sink(e end, about connectors.About) *connectors.SinkSpec {
	spec, err := e.plugin.Sink(r.decoder(e), about)
	r.faults(e, err)
	return spec
}

// decoder returns what a factory reads its section with. It never fails: faults are findings, so that
// the factory goes on and validates what could be read.
func (r *reader) decoder(e end) connectors.Decode {
	return func(into any) error {
		t := reflect.TypeOf(into)
		if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			return errors.New("the connector decodes into something that is not a pointer to a struct")
		}
		if e.connection != nil {
			r.decode(*e.connection, into)
		}
		r.decode(without(e.section, e.plugin.Connection), into)
		return nil
	}
}

// without returns s without its connection key, which is ours and not the connector's.
func without(s section, kind string) section {
	key, _ := find(s.value, "connection")
	if kind == "" || key == nil {
		return s
	}
	rest := *s.value
	rest.Content = nil
	for i := 0; i+1 < len(s.value.Content); i += 2 {
		if s.value.Content[i] != key {
			rest.Content = append(rest.Content, s.value.Content[i], s.value.Content[i+1])
		}
	}
	s.value = &rest
	return s
}

// faults turns what a factory found wrong into findings, each at its key.
func (r *reader) faults(e end, err error) {
	for _, fault := range flatten(err) {
		var field *connectors.FieldError
		if !errors.As(fault, &field) {
			r.add(e.section.at(), codeSection, "", "%s: %s", e.section.path, fault)
			continue
		}
		s := e.section
		if key, _ := find(s.value, strings.SplitN(field.Path, ".", 2)[0]); key == nil && e.connection != nil {
			if key, _ := find(e.connection.value, strings.SplitN(field.Path, ".", 2)[0]); key != nil {
				s = *e.connection
			}
		}
		to := deepest(s.value, field.Path, s.key)
		at := s.doc.at(to)
		if to != s.key && r.doubted(s, to) || r.misspelt(s, field.Path) {
			continue // the value or the key's name was found wrong already; this only follows from it
		}
		r.add(at, codeSection, "", "%s.%s: %s", s.path, field.Path, field.Err)
	}
}

// doubted reports whether a key, its value or something in it has been found wrong already.
func (r *reader) doubted(s section, key *yaml.Node) bool {
	if r.has(s.doc.at(key)) {
		return true
	}
	_, value := find(s.value, key.Value)
	return value != nil && slices.ContainsFunc(append(slices.Clone(value.Content), value), func(n *yaml.Node) bool {
		return r.has(s.doc.at(n))
	})
}

// misspelt reports whether a key like path's first is among the unknown ones of s.
func (r *reader) misspelt(s section, path string) bool {
	if s.value.Kind != yaml.MappingNode {
		return false
	}
	first, _, _ := strings.Cut(path, ".")
	for i := 0; i+1 < len(s.value.Content); i += 2 {
		key := s.value.Content[i]
		if _, like := nearest(key.Value, []string{first}); like && key.Value != first && r.has(s.doc.at(key)) {
			return true
		}
	}
	return false
}

// flatten returns the errors that were joined.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	// Of err itself, not of what it wraps: a FieldError keeps its path.
	if joined, ok := any(err).(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}
