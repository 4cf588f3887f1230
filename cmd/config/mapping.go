package config

import (
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/connectors"
)

// mapFile is a route's map as written.
type mapFile struct {
	Subject   template    `yaml:"subject"`   // NATS: a template, such as orders.{{ key }}; its places may be expressions
	Topic     template    `yaml:"topic"`     // Kafka
	Key       template    `yaml:"key"`       // Kafka
	Partition template    `yaml:"partition"` // Kafka: a number
	Headers   headersFile `yaml:"headers"`   // what becomes of headers
}

// headersFile is what a map does to headers: it drops those that match, renames others, and sets some.
type headersFile struct {
	Drop   []string  `yaml:"drop"`   // patterns of names, such as x-internal-*
	Set    yaml.Node `yaml:"set"`    // name to template
	Rename yaml.Node `yaml:"rename"` // old name to new
}

// template is the text of one whose places may be expressions. It is compiled when the whole map is known.
type template struct{ text string }

func (t *template) UnmarshalText(text []byte) error {
	t.text = string(text)
	return nil
}

// namesFile is the map of dead letters: there is nowhere for a letter of which an expression fails.
type namesFile struct {
	Subject plainTemplate `yaml:"subject"` // NATS: a template whose places are names, such as dead.{{ topic }}
	Topic   plainTemplate `yaml:"topic"`   // Kafka
	Key     plainTemplate `yaml:"key"`     // Kafka
}

func (m namesFile) compile() connectors.Map {
	return connectors.Map{Subject: m.Subject.t, Topic: m.Topic.t, Key: m.Key.t}
}

// plainTemplate is a template whose places are names. Empty: the sink's default.
type plainTemplate struct{ t *connectors.Template }

func (t *plainTemplate) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		return nil
	}
	t.t, err = connectors.ParseTemplate(string(text))
	return err
}

// mapping compiles the filter and the map of a route.
func (r *reader) mapping(s section, f *routeFile) (m connectors.Map, p *transform.Program) {
	c := transform.NewCompiler(s.key.Value)
	r.filter(s, f.Filter, c)
	compile := func(name string, t template) *connectors.Template {
		if t.text == "" {
			return nil
		}
		path := "map." + name
		compiled, err := c.Template(path, t.text)
		r.expression(s, path, err)
		return compiled
	}
	m = connectors.Map{
		Subject: compile("subject", f.Map.Subject), Topic: compile("topic", f.Map.Topic),
		Key: compile("key", f.Map.Key), Partition: compile("partition", f.Map.Partition),
	}
	r.mapHeaders(s, &f.Map.Headers, c)
	return m, c.Program()
}

// filter compiles the filter of a route.
func (r *reader) filter(s section, text string, c *transform.Compiler) {
	key, value := find(s.value, "filter")
	switch {
	case value != nil && strings.HasPrefix(value.Tag, "!") && !strings.HasPrefix(value.Tag, "!!"):
		r.add(s.doc.at(value), codeValue, "write not in its place, or put the whole in quotes",
			"to YAML a ! at the beginning is no part of the text: the filter would be without it")
	case text != "":
		r.expression(s, "filter", c.Filter(text))
	case key != nil && !r.has(s.doc.at(value)):
		r.add(s.doc.at(key), codeMissing, `such as filter: headers["env"] == "prod"; or leave the key out`, "the filter is empty")
	}
}

// mapHeaders compiles what a map does to headers.
func (r *reader) mapHeaders(s section, f *headersFile, c *transform.Compiler) {
	_, m := find(s.value, "map")
	_, headers := find(m, "headers")
	_, drop := find(headers, "drop")
	for i, pattern := range f.Drop {
		if err := c.Drop(pattern); err != nil && drop != nil && i < len(drop.Content) {
			r.add(s.doc.at(drop.Content[i]), codeValue, "", "%s", err)
		}
	}
	r.pairs(s, &f.Rename, "rename", "to its new name", func(old, renamed *yaml.Node) error { return c.Rename(old.Value, renamed.Value) })
	r.pairs(s, &f.Set, "set", "to its template", func(name, text *yaml.Node) error {
		return c.Set("map.headers.set."+name.Value, name.Value, text.Value)
	})
}

// pairs gives each pair of a mapping of names to texts to take.
func (r *reader) pairs(s section, n *yaml.Node, name, what string, take func(key, value *yaml.Node) error) {
	if n.Kind == 0 || n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.add(s.doc.at(n), codeValue, "", "%s.map.headers.%s has to be a mapping of the name of a header %s", s.path, name, what)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			r.add(s.doc.at(key), codeValue, "", "the header %.100q has to be mapped %s", key.Value, what)
			continue
		}
		if err := take(key, value); err != nil {
			r.wrong(s, value, err)
		}
	}
}

// expression reports what is wrong with the value at path of a route.
func (r *reader) expression(s section, path string, err error) {
	if err != nil {
		r.wrong(s, deepest(s.value, path, s.key), err)
	}
}

// wrong reports an error in an expression or a template, at the character that is to blame if that stands in the file as
// it is: what is folded or escaped does not.
func (r *reader) wrong(s section, n *yaml.Node, err error) {
	at := s.doc.at(n)
	var e *transform.Error
	if !errors.As(err, &e) {
		r.add(at, codeValue, "", "%s", err)
		return
	}
	if at.line >= 1 && at.line <= len(s.doc.lines) {
		line := []rune(s.doc.lines[at.line-1])
		rest := string(line[min(max(at.column-1, 0), len(line)):])
		if i := strings.Index(rest, e.Expression); i >= 0 && e.Expression != "" {
			at.column += utf8.RuneCountInString(rest[:i]) + max(e.Column-1, 0)
		}
	}
	hint := ""
	if strings.HasPrefix(e.Text, "unknown name") {
		hint = "there is " + strings.Join(transform.Names(), ", ")
	}
	r.add(at, codeExpression, hint, "%s", e)
}
