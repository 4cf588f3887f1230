package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	// flagPrefix is what stands before a path in the line that a finding shows of a flag.
	flagPrefix = "--set "
	flagHint   = "such as --set routes.orders.window.max_messages=4096"
)

// set puts flags over documents: each into the one that has most of its path, else into the first. Findings point at
// the flags.
func (r *reader) set(docs []*document, flags []string, env func(string) (string, bool)) {
	docs = slices.DeleteFunc(slices.Clone(docs), func(d *document) bool { return d.root == nil })
	if len(docs) == 0 {
		return
	}
	line := &document{name: "command line", root: &yaml.Node{Kind: yaml.MappingNode}}
	for i, flag := range flags {
		path, value, found := strings.Cut(flag, "=")
		keys := strings.Split(path, ".")
		shown := value
		if secretPath(keys) {
			shown = "***"
		}
		line.lines = append(line.lines, flagPrefix+path+"="+shown)
		at := place{line, i + 1, len(flagPrefix) + 1}
		switch {
		case !found || slices.Contains(keys, ""):
			r.add(at, codeSet, flagHint, "a flag --set has to be a path of keys, = and a value")
			continue
		case keys[0] == "include":
			r.add(at, codeSet, "give -c several times", "include cannot be set")
			continue
		}
		r.setOne(home(docs, keys), line, at, keys, value, env)
	}
}

// secretPath reports whether what stands at a path is nobody's business.
func secretPath(keys []string) bool {
	return secretKey(keys[len(keys)-1]) || len(keys) > 1 && keys[0] == "telemetry" && keys[1] == "headers"
}

// home returns the document in which most of a path exists.
func home(docs []*document, keys []string) *document {
	best, most := docs[0], 0
	for _, d := range docs {
		n, depth := d.root, 0
		for ; depth < len(keys); depth++ {
			if _, n = find(n, keys[depth]); n == nil {
				break
			}
		}
		if depth > most {
			best, most = d, depth
		}
	}
	return best
}

func (r *reader) setOne(d, line *document, at place, keys []string, value string, env func(string) (string, bool)) {
	d.flags = line
	column := at.column
	n := d.root
	for i, key := range keys {
		if n.Kind != yaml.MappingNode {
			hint := "set it as a whole, such as --set " + strings.Join(keys[:i], ".") + "=[a, b]"
			if n.Kind == yaml.ScalarNode {
				hint = "write it as a section in the file"
			}
			r.add(at, codeSet, hint, "%s holds no keys", strings.Join(keys[:i], "."))
			return
		}
		name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: fromFlags + at.line, Column: column}
		column += len([]rune(key)) + 1
		last := i == len(keys)-1
		_, child := find(n, key)
		if child == nil || last {
			child = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: fromFlags + at.line, Column: column}
		}
		if last {
			var ok bool
			if child, ok = r.flagValue(d, place{line, at.line, column}, value, env); !ok {
				// What cannot be read may hold a secret anywhere.
				line.lines[at.line-1] = flagPrefix + strings.Join(keys, ".") + "=***"
				return
			}
			r.keepSecret(key, child)
			if secretPath(keys) {
				r.addText(key, value)
				r.addAll(child)
			}
		}
		put(n, name, child)
		n = child
	}
}

// put has a mapping hold a value under a name.
func put(n, name, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name.Value {
			if n.Content[i+1] != value {
				n.Content[i], n.Content[i+1] = name, value
			}
			return
		}
	}
	n.Content = append(n.Content, name, value)
}

// flagValue reads the value of a flag: a list or a mapping in brackets as YAML has it, and anything else, a template
// too, as it stands.
func (r *reader) flagValue(d *document, at place, value string, env func(string) (string, bool)) (*yaml.Node, bool) {
	tree := &yaml.Node{Kind: yaml.ScalarNode, Value: value, Column: 1}
	if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") && !strings.HasPrefix(value, "{{") {
		var file yaml.Node
		if err := yaml.Load([]byte(value), &file); err != nil || len(file.Content) != 1 {
			r.add(at, codeSyntax, "such as [a, b]", "this is not a list or a mapping: %s", strings.TrimPrefix(fmt.Sprint(err), "yaml: "))
			return nil, false
		}
		tree = file.Content[0]
	}
	stand(tree, fromFlags+at.line, at.column-1, 0)
	if tree.Kind == yaml.ScalarNode {
		tree.Tag = "!!str"
		if typed.MatchString(value) {
			tree.Tag = ""
		}
	}
	x := expander{lint: &r.lint, doc: d, vars: Placeholders{Env: env}, open: map[*yaml.Node]bool{}}
	return x.copy(tree, 0), !x.over
}

// stand puts a tree into one line, right of a column.
func stand(n *yaml.Node, line, column, depth int) {
	n.Line, n.Column = line, n.Column+column
	for _, child := range n.Content {
		if depth < maxDepth {
			stand(child, line, column, depth+1)
		}
	}
}
