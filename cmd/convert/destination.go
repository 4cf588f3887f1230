package convert

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"
)

// destination turns the Go template of a topic or subject into ours. towards is the end it names a place at. dotted
// reports that a key is part of a subject: nats-kafka copies it as it is, Sluice makes one token of it.
func destination(w word, towards end) (text word, constant, dotted bool, err error) {
	if w.variable || !strings.Contains(w.text, "{{") {
		return w, true, false, nil
	}
	functions := map[string]any{"replace": true, "substring": true, "printf": true, "print": true, "index": true, "len": true, "slice": true, "html": true, "js": true, "urlquery": true}
	trees, err := parse.Parse("dest", w.text, "", "", functions)
	if err != nil {
		return w, false, false, fmt.Errorf("nats-kafka does not start with this template: %w", err)
	}
	var out strings.Builder
	constant = true
	for _, n := range trees["dest"].Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			out.Write(n.Text)
		case *parse.ActionNode:
			place, err := placeOf(n, towards)
			if err != nil {
				return w, false, false, err
			}
			if strings.HasPrefix(place, "replace(") && towards == toNATS {
				place = "dotted(" + place + ")" // a topic's dots part tokens, as there
			}
			out.WriteString("{{ " + place + " }}")
			constant, dotted = false, dotted || place == "key" && towards == toNATS
		default:
			return w, false, false, fmt.Errorf("%s: Sluice's templates have places and nothing else", n)
		}
	}
	return word{out.String(), false}, constant, dotted, nil
}

// bytesAsText is how a template of nats-kafka shows a key, which is bytes.
var bytesAsText = regexp.MustCompile(`^(printf "%s" \.Key|\.Key \| printf "%s")$`)

// placeOf returns the name of ours for what an action shows.
func placeOf(n *parse.ActionNode, towards end) (string, error) {
	shown := n.Pipe.String()
	names := map[string]string{".Topic": "topic", ".Partition": "partition", ".Offset": "offset"}
	if towards == toKafka {
		names = map[string]string{".Subject": "subject"}
	}
	if ours, ok := names[shown]; ok {
		return ours, nil
	}
	if ours, ok := expressionOf(n.Pipe, names); ok {
		return ours, nil
	}
	switch {
	case towards == toNATS && bytesAsText.MatchString(shown):
		return "key", nil
	case towards == toNATS && shown == ".Key":
		return "", errors.New("{{.Key}} shows the bytes of the key as numbers ([97 98]); if the key itself is meant, write {{printf \"%s\" .Key}} and convert again")
	}
	return "", fmt.Errorf("{{%s}} has no counterpart among the places of Sluice's templates", shown)
}

// header is how a template of nats-kafka asks for the first value of a header.
var header = regexp.MustCompile(`^\.Header\.Get ("[^"\\]*")$`)

// expressionOf returns the expression of ours that does what replace and headers do there. Whether this build takes it
// is the validator's to say.
func expressionOf(p *parse.PipeNode, names map[string]string) (string, bool) {
	shown := p.String()
	if m := header.FindStringSubmatch(shown); m != nil && names[".Subject"] != "" {
		return "headers[" + m[1] + `] ?? ""`, true
	}
	var args []parse.Node // of replace, as nats-kafka has it: old, new, text
	switch {
	case len(p.Cmds) == 1 && len(p.Cmds[0].Args) == 4:
		args = p.Cmds[0].Args
	case len(p.Cmds) == 2 && len(p.Cmds[0].Args) == 1 && len(p.Cmds[1].Args) == 3:
		args = append(slices.Clone(p.Cmds[1].Args), p.Cmds[0].Args[0])
	default:
		return "", false
	}
	from, isText := args[1].(*parse.StringNode)
	to, areTexts := args[2].(*parse.StringNode)
	text, known := names[args[3].String()]
	if args[0].String() != "replace" || !isText || !areTexts || !known || text != "subject" && text != "topic" {
		return "", false
	}
	return fmt.Sprintf("replace(%s, %q, %q)", text, from.Text, to.Text), true
}

// keyTemplate returns our template for a key that is always the same.
func fixed(w word) (word, error) {
	if strings.Contains(w.text, "{{") {
		return w, errors.New("a key that holds {{ cannot be written as a template")
	}
	if w.empty() {
		return emptyKey(), nil
	}
	return w, nil
}

// emptyKey is the key of every message that nats-kafka is told no key for: not null, and of no bytes. What comes
// from NATS has no key of its own.
func emptyKey() word { return word{"{{ key }}", false} }
