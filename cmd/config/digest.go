package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// digest stands for what a route is made of: its own keys, but those that can be changed while it runs, and the
// connections that its ends use, with placeholders filled in. The order of keys does not matter, nor does where all
// that stands.
func (r *reader) digest(s section) string {
	h := sha256.New()
	own := *s.value
	own.Content = nil
	for i := 0; i+1 < len(s.value.Content); i += 2 {
		if key := s.value.Content[i].Value; key != "limit" && key != "paused" {
			own.Content = append(own.Content, s.value.Content[i], s.value.Content[i+1])
		}
	}
	digestNode(h, s.doc, &own)
	for _, c := range r.used {
		digestNode(h, c.doc, c.value)
	}
	r.used = nil
	return hex.EncodeToString(h.Sum(nil))
}

// digestNode writes a tree so that no two that differ write the same.
func digestNode(w io.Writer, d *document, n *yaml.Node) {
	// A hash takes everything.
	fmt.Fprintf(w, "%d %q %q %q %d\n", n.Kind, n.Tag, n.Value, d.files[n], len(n.Content))
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			digestNode(w, d, child)
		}
		return
	}
	type pair struct{ key, value *yaml.Node }
	var pairs []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		pairs = append(pairs, pair{n.Content[i], n.Content[i+1]})
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return strings.Compare(a.key.Value, b.key.Value) })
	for _, p := range pairs {
		fmt.Fprintf(w, "%q:\n", p.key.Value)
		digestNode(w, d, p.value)
	}
}
