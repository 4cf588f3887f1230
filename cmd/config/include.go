package config

import (
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxIncluded is how many files a configuration may include.
const maxIncluded = 256

// defaultsFile is what routes may leave out: what of them means the same in each.
type defaultsFile struct {
	Headers    string     `yaml:"headers" enum:"default,none"`
	Window     windowFile `yaml:"window"`
	Limit      limitFile  `yaml:"limit"`
	Retry      retryFile  `yaml:"retry"`
	OnReject   yaml.Node  `yaml:"on_reject" enum:"halt,drop,dead_letter"`
	Stale      staleFile  `yaml:"stale"`
	OnGap      string     `yaml:"on_gap" enum:"continue,halt"`
	DeadLetter yaml.Node  `yaml:"dead_letter"`
	MaxHops    *int       `yaml:"max_hops"`
}

// included returns the files that a document includes and that nobody has read yet, in order.
func (r *reader) included(d *document) (paths []string) {
	_, list := find(d.root, "include")
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil // what else it may be is found later
	}
	for _, n := range list.Content {
		pattern := n.Value
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(d.name), pattern)
		}
		if _, err := filepath.Match(pattern, ""); err != nil || n.Kind != yaml.ScalarNode || n.Value == "" {
			r.add(d.at(n), codeInclude, "such as conf.d/*.yaml; * and ? stand for what is not a /", "%q is not a pattern of files", n.Value)
			continue
		}
		r.cfg.includes = append(r.cfg.includes, pattern)
		found := matches(pattern)
		if len(found) == 0 && !strings.ContainsAny(n.Value, `*?[`) {
			r.add(d.at(n), codeInclude, "a relative path starts at the directory of this file", "there is no file %s", pattern)
		}
		for _, path := range found {
			if !slices.Contains(paths, path) && !slices.ContainsFunc(r.cfg.files, func(f string) bool { return filepath.Clean(f) == filepath.Clean(path) }) {
				paths = append(paths, path)
			}
		}
		if len(paths)+len(r.cfg.files) > maxIncluded {
			r.add(d.at(n), codeLimit, "", "this is more than %d files", maxIncluded)
			return nil
		}
	}
	return paths
}

// matches returns the files that a pattern stands for, sorted, and of too many only so many as show that. Hidden ones, as
// editors make them, have to be asked for.
func matches(pattern string) []string {
	all, err := filepath.Glob(pattern)
	if err != nil {
		return nil // the pattern was found wrong before
	}
	all = slices.DeleteFunc(all, func(path string) bool {
		return strings.HasPrefix(filepath.Base(path), ".") && !strings.HasPrefix(filepath.Base(pattern), ".")
	})
	return all[:min(len(all), maxIncluded+1)]
}

// nested refuses an include in a file that is included.
func (r *reader) nested(d *document) {
	if key, _ := find(d.root, "include"); key != nil {
		r.add(d.at(key), codeInclude, "include it from the file that -c names", "a file that is included includes others")
	}
}

// spread gives every route what the defaults say and it does not.
func (r *reader) spread(docs []*document) {
	i := slices.IndexFunc(docs, func(d *document) bool { key, _ := find(d.root, "defaults"); return key != nil })
	if i < 0 {
		return
	}
	from := docs[i]
	key, value := find(from.root, "defaults")
	s := section{doc: from, key: key, value: value, path: "defaults", outer: []scope{{"", keysOf[root]()}}}
	if value.Kind != yaml.MappingNode {
		r.add(s.at(), codeValue, "such as defaults: {window: {max_messages: 4096}}", "defaults has to be a mapping of keys of routes")
		return
	}
	before := len(r.findings)
	r.notDefaults(s)
	f := newRouteFile()
	d := defaultsFile{Window: f.Window, Retry: f.Retry}
	r.decode(s, &d)
	f.Headers, f.Window, f.Limit, f.Retry, f.OnGap, f.MaxHops = d.Headers, d.Window, d.Limit, d.Retry, d.OnGap, d.MaxHops
	r.checkRoute(s, &f)
	if len(r.findings) > before {
		return // else each route would say it again
	}
	for _, doc := range docs {
		_, list := find(doc.root, "routes")
		if list == nil || list.Kind != yaml.MappingNode {
			continue
		}
		shift := 0
		if doc != from {
			doc.defaults, shift = from, fromDefaults
		}
		for i := 1; i < len(list.Content); i += 2 {
			if route := list.Content[i]; route.Kind == yaml.MappingNode {
				under(doc, route, from, value, shift)
			}
		}
	}
}

// notDefaults says of a key of a route why it is none of the defaults.
func (r *reader) notDefaults(s section) {
	for i := 0; i < len(s.value.Content); i += 2 {
		key := s.value.Content[i]
		if slices.Contains(keysOf[routeFile](), key.Value) && !slices.Contains(keysOf[defaultsFile](), key.Value) {
			r.add(s.doc.at(key), codeUnknownKey, "write it in each route", "%q is each route's own", key.Value)
		}
	}
}

// under adds to a mapping what another has and it has not. In a window, a limit and a retry it does so key by key.
func under(doc *document, n *yaml.Node, from *document, defaults *yaml.Node, shift int) {
	for i := 0; i+1 < len(defaults.Content); i += 2 {
		key, value := defaults.Content[i], defaults.Content[i+1]
		_, own := find(n, key.Value)
		switch {
		case own == nil:
			n.Content = append(n.Content, moved(doc, from, key, shift), moved(doc, from, value, shift))
		case slices.Contains([]string{"window", "limit", "retry"}, key.Value) && own.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode:
			under(doc, own, from, value, shift)
		}
	}
}

// moved copies a tree into another document.
func moved(to, from *document, n *yaml.Node, shift int) *yaml.Node {
	c := *n
	c.Line += shift
	c.Content = nil
	if path, inFile := from.files[n]; inFile {
		to.files[&c] = path
	}
	to.outside[&c] = from.outside[n]
	for _, child := range n.Content {
		c.Content = append(c.Content, moved(to, from, child, shift))
	}
	return &c
}
