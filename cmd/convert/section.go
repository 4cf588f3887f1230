package convert

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// section is a mapping of our configuration, in the order in which it is written.
type section []field

type field struct {
	name  string
	value any // string, bool, int64, word, secret, words of a list, section
}

// secret is a word that does not belong in a file that others read.
type secret struct {
	word
	file string // where it is put, beside the configuration
}

// set adds a key; nothing of a word that is empty.
func (s *section) set(name string, value any) {
	if w, ok := value.(word); ok && w.empty() {
		return
	}
	*s = append(*s, field{name, value})
}

// put adds a key, or changes it.
func (s *section) put(name string, value any) {
	for i := range *s {
		if (*s)[i].name == name {
			(*s)[i].value = value
			return
		}
	}
	s.set(name, value)
}

func (s section) equal(other section) bool { return reflect.DeepEqual(s, other) }

// reading says what stands for what only the final configuration can look up.
type reading struct {
	variable func(name, key string) string // nil: a placeholder
	secret   func(secret) string           // nil: a placeholder
}

// samples stand for what is looked up when the daemon starts, so that all else can be checked now.
func samples() reading {
	return reading{
		variable: func(_, key string) string {
			switch key {
			case "brokers", "servers":
				return "localhost:4222"
			case "start":
				return "earliest"
			case "listen":
				return "localhost:0"
			}
			return "x"
		},
		secret: func(secret) string { return "x" },
	}
}

// yaml renders the whole configuration.
func (s section) yaml(r reading) ([]byte, error) {
	return yaml.Dump(s.node(r, 0), yaml.WithV4Defaults(), yaml.WithLineWidth(-1))
}

// node renders a section; what lies three deep is written in one line.
func (s section) node(r reading, depth int) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if depth >= 3 {
		n.Style = yaml.FlowStyle
	}
	for _, f := range s {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.name}, r.node(f.name, f.value, depth))
	}
	return n
}

func (r reading) node(key string, value any, depth int) *yaml.Node {
	scalar := func(tag, text string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
	}
	literal := func(text string) *yaml.Node { return scalar("!!str", strings.ReplaceAll(text, "${", "$${")) }
	switch v := value.(type) {
	case section:
		return v.node(r, depth+1)
	case []word:
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		for _, w := range v {
			list.Content = append(list.Content, r.node(key, w, depth+1))
		}
		return list
	case secret:
		switch {
		case v.variable:
			return r.node(key, v.word, depth)
		case r.secret != nil:
			return literal(r.secret(v))
		}
		return scalar("!!str", "${file:"+v.file+"}")
	case word:
		switch {
		case !v.variable:
			return literal(v.text)
		case r.variable != nil:
			return literal(r.variable(v.text, key))
		}
		return scalar("!!str", "${"+v.text+"}")
	case string:
		return literal(v)
	case bool:
		return scalar("!!bool", fmt.Sprint(v))
	default:
		return scalar("!!int", fmt.Sprint(v))
	}
}

// secrets appends every secret that stood in the old file.
func (s section) secrets(all []secret) []secret {
	for _, f := range s {
		switch v := f.value.(type) {
		case secret:
			if !v.variable {
				all = append(all, v)
			}
		case section:
			all = v.secrets(all)
		}
	}
	return all
}
