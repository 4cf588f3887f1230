package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// redact renders documents for people who must not see a secret: with placeholders filled in, as they were
// understood, and stars for all that stands under a key of a secret, in telemetry.headers or in a URL or an address to log in
// with, and for whatever equals a secret. What a file holds is shown as its placeholder.
func (r *reader) redact(docs []*document) string {
	var out strings.Builder
	for _, d := range docs {
		text, err := yaml.Marshal(r.redacted(d, d.root, false))
		if err != nil {
			text = []byte("# cannot be shown: " + r.hide(err.Error()) + "\n")
		}
		out.WriteString("---\n# " + d.name + "\n" + string(text))
	}
	return out.String()
}

func (r *reader) redacted(d *document, n *yaml.Node, secret bool) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Style: n.Style, Value: n.Value}
	path, inFile := d.files[n]
	switch {
	case n.Kind != yaml.ScalarNode:
	case inFile:
		c.Value, c.Tag, c.Style = "${file:"+path+"}", "!!str", yaml.DoubleQuotedStyle
	case secret && n.Value != "":
		c.Value, c.Tag, c.Style = "***", "!!str", yaml.DoubleQuotedStyle
	default:
		c.Value = hideInURLs(r.hide(n.Value))
	}
	for i, child := range n.Content {
		hidden := secret
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			key := n.Content[i-1].Value
			hidden = secret || secretKey(key) || key == "headers" && child.Kind == yaml.MappingNode
		}
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			c.Content = append(c.Content, r.redacted(d, child, false))
			continue
		}
		c.Content = append(c.Content, r.redacted(d, child, hidden))
	}
	return c
}

// merge renders documents as one, as redact renders each.
func (r *reader) merge(docs []*document) string {
	whole := &yaml.Node{Kind: yaml.MappingNode}
	for _, d := range docs {
		for i := 0; i+1 < len(d.root.Content); i += 2 {
			key, value := d.root.Content[i], d.root.Content[i+1]
			if key.Value == "include" || key.Value == "defaults" {
				continue
			}
			value = r.redacted(d, value, secretKey(key.Value))
			if _, is := find(whole, key.Value); is != nil {
				if value.Kind == yaml.MappingNode { // connections and routes; version stands in each
					is.Content = append(is.Content, value.Content...)
				}
				continue
			}
			whole.Content = append(whole.Content, r.redacted(d, key, false), value)
		}
	}
	text, err := yaml.Marshal(whole)
	if err != nil {
		return "# cannot be shown: " + r.hide(err.Error()) + "\n"
	}
	return string(text)
}
