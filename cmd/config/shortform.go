package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/connectors"
)

// shortEnd turns a URL into the section it stands for. Every node of it points at the URL.
func (r *reader) shortEnd(s section, which connectors.End) (end, bool) {
	at := s.doc.at(s.value)
	names := r.connectors(which)
	if s.value.Kind != yaml.ScalarNode || s.value.Value == "" {
		if !r.has(at) {
			r.add(at, codeURL, "such as "+names[0]+"://host:port/...", "%s has to be a URL", s.path)
		}
		return end{}, false
	}
	u, err := parseURL(s.value.Value)
	if err != nil {
		r.add(at, codeURL, "such as "+names[0]+"://host:port/...", "%s is not a URL: %s", s.path, err)
		return end{}, false
	}
	plugin, ok := r.registry.Lookup(u.Scheme)
	switch {
	case !ok || !slices.Contains(names, u.Scheme):
		r.add(at, codeConnector, didYouMean(u.Scheme, names), "unknown connector %q in %s", u.Scheme, s.path)
		return end{}, false
	case plugin.URL == nil:
		r.add(at, codeURL, "write it as a section", "the connector %q has no short form", u.Scheme)
		return end{}, false
	}
	values, err := plugin.URL(u, which)
	if err != nil {
		for _, fault := range flatten(err) {
			r.add(at, codeURL, "", "%s: %s", s.path, fault)
		}
		return end{}, false
	}
	s.key = s.value
	s.value = tree(values, s.value)
	return end{plugin: plugin, section: s}, true
}

// parseURL is url.Parse for URLs that may name several hosts, separated by commas. Its errors do not
// hold the URL, which may hold a password.
func parseURL(text string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, errors.New("it has no scheme://")
	}
	split := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		split = i
	}
	authority, tail := rest[:split], rest[split:]
	user := ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, authority = authority[:i+1], authority[i+1:]
	}
	hosts := strings.Split(authority, ",")
	var first *url.URL
	for _, host := range hosts {
		u, err := url.Parse(scheme + "://" + user + host + tail)
		if err != nil {
			var inner *url.Error
			if errors.As(err, &inner) {
				err = inner.Err
			}
			return nil, err
		}
		if len(hosts) > 1 && u.Host == "" {
			return nil, errors.New("a host in its list is empty")
		}
		if first == nil {
			first = u
		}
	}
	first.Host = authority
	return first, nil
}

// tree builds the nodes of a section, all at the place of at.
func tree(value any, at *yaml.Node) *yaml.Node {
	n := &yaml.Node{Line: at.Line, Column: at.Column}
	switch v := value.(type) {
	case map[string]any:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: k, Line: at.Line, Column: at.Column}
			n.Content = append(n.Content, key, tree(v[k], at))
		}
	case []any:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for _, e := range v {
			n.Content = append(n.Content, tree(e, at))
		}
	case []string:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for _, e := range v {
			n.Content = append(n.Content, tree(e, at))
		}
	case string:
		n.Kind, n.Value, n.Tag = yaml.ScalarNode, v, "!!str"
		if typed.MatchString(v) {
			n.Tag = "" // a query parameter may stand for a number
		}
	default:
		n.Kind, n.Value = yaml.ScalarNode, fmt.Sprint(v)
	}
	return n
}
