package config

import (
	"fmt"
	"strings"
)

// Reference is what a file may hold, in Markdown.
func (d *Description) Reference() string {
	var out strings.Builder
	out.WriteString("# Configuration\n\nEvery key, with its default. `go doc ./cmd/config` tells how files are put together, what placeholders there are, and what a reload does. " +
		"`sluice config schema` prints the same as a JSON Schema for editors. This page is made from the source: `go test ./cmd/sluice -run TestSchema -update`.\n")
	table(&out, "The file", "", d.root)
	for _, p := range d.connections {
		table(&out, "connections.NAME."+p.name, "Its keys are also accepted in the source's or the sink's own section, where they win.", p.keys)
	}
	table(&out, "routes.NAME", "", d.route)
	table(&out, "routes.NAME.dead_letter", "", d.deadLetter)
	table(&out, "defaults", "For every route that does not say otherwise; window, limit and retry key by key.", names(d.defaults))
	for _, p := range d.sources {
		table(&out, "source."+p.name, "", own(p, d.connections))
	}
	for _, p := range d.sinks {
		table(&out, "sink."+p.name, "", own(p, d.connections))
	}
	return out.String()
}

// names are keys without what is below them, which is told elsewhere.
func names(keys []key) (plain []key) {
	for _, k := range keys {
		k.keys = nil
		plain = append(plain, k)
	}
	return plain
}

// own are the keys of a part that are not of a connection.
func own(p part, connections []part) (keys []key) {
	of := map[string]bool{}
	for _, c := range connections {
		for _, k := range c.keys {
			of[k.name+k.text] = true
		}
	}
	for _, k := range p.keys {
		if !of[k.name+k.text] {
			keys = append(keys, k)
		}
	}
	return keys
}

func table(out *strings.Builder, title, text string, keys []key) {
	fmt.Fprintf(out, "\n## %s\n\n", title)
	if text != "" {
		fmt.Fprintf(out, "%s\n\n", text)
	}
	out.WriteString("| key | what | default | |\n|---|---|---|---|\n")
	rows(out, "", keys)
}

func rows(out *strings.Builder, path string, keys []key) {
	cell := strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;")
	for _, k := range keys {
		def := ""
		if k.def != nil {
			def = "`" + fmt.Sprint(k.def) + "`"
		}
		fmt.Fprintf(out, "| `%s%s` | %s | %s | %s |\n", path, k.name, cell.Replace(k.words), def, cell.Replace(k.text))
		rows(out, path+k.name+".", k.keys)
	}
}
