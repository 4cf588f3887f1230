package convert

import (
	"errors"
	"fmt"
	"regexp"
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
	switch {
	case towards == toNATS && bytesAsText.MatchString(shown):
		return "key", nil
	case towards == toNATS && shown == ".Key":
		return "", errors.New("{{.Key}} shows the bytes of the key as numbers ([97 98]); if the key itself is meant, write {{printf \"%s\" .Key}} and convert again")
	}
	return "", fmt.Errorf("{{%s}} has no counterpart: Sluice's templates are filled from topic, subject, key, partition and offset", shown)
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
