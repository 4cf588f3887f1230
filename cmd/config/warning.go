package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// warnings looks for what is no fault and hardly meant: Config.Warnings.
func (r *reader) warnings(docs []*document) Findings {
	var w lint
	w.secrets = r.secrets
	for _, c := range r.named {
		if !r.uses(c.name) {
			key := c.key
			w.add(c.doc.at(key), codeUnused, "take it out, or name it in a source or a sink: connection: "+c.name, "no route uses the connection %q", c.name)
		}
	}
	for _, d := range docs {
		w.unwise(d, d.root)
	}
	w.finish()
	return w.findings
}

// uses reports whether an end uses a connection.
func (r *reader) uses(name string) bool {
	return slices.ContainsFunc(r.cfg.Ends, func(e End) bool { return e.Connection == "connections."+name })
}

// unwise warns of what stands below n that others can read, or that lets others read along.
func (l *lint) unwise(d *document, n *yaml.Node) {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && child.Kind == yaml.ScalarNode {
			key := n.Content[i-1].Value
			switch {
			case secretKey(key) && child.Value != "" && !d.outside[child]:
				l.add(d.at(child), codePlainSecret, `write "${file:/run/secrets/...}" or "${NAME}"`, "%s stands in the file, for all who can read it", key)
			case key == "insecure_skip_verify" && strings.EqualFold(child.Value, "true"):
				l.add(d.at(child), codeInsecure, "set ca_file to the authority that signs the servers", "any certificate is taken: whoever answers in a server's place can read along")
			}
		}
		l.unwise(d, child)
	}
}
