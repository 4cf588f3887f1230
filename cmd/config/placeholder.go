package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// Placeholders says where the values of placeholders come from.
type Placeholders struct {
	Env func(name string) (string, bool)
	Dir string // what ${file:path} is relative to
}

type placeholderError struct{ text, hint string }

const maxSecret = 64 << 10

var placeholder = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?$`)

// fill replaces every placeholder of text.
func (p Placeholders) fill(text string) (string, *placeholderError) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(literal + "${")
			text = rest
			continue
		}
		out.WriteString(before)
		body, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", &placeholderError{"${ without }", "write $${ for a literal ${"}
		}
		value, err := p.value(body)
		if err != nil {
			return "", err
		}
		if out.Len()+len(value) > maxSecret {
			return "", &placeholderError{fmt.Sprintf("${%s} makes the value longer than %d bytes", body, maxSecret), ""}
		}
		out.WriteString(value)
		text = after
	}
}

func (p Placeholders) value(body string) (string, *placeholderError) {
	if path, ok := strings.CutPrefix(body, "file:"); ok {
		return p.file(path)
	}
	m := placeholder.FindStringSubmatch(body)
	if m == nil {
		return "", &placeholderError{fmt.Sprintf("${%s} is not a placeholder", body),
			"write ${NAME}, ${NAME:-default}, ${NAME:?message}, ${file:path}, or $${ for a literal ${"}
	}
	name, operator, word := m[1], m[2], m[3]
	value, set := "", false
	if p.Env != nil {
		value, set = p.Env(name)
	}
	switch {
	case operator == ":-" && value == "":
		return word, nil
	case operator == ":?" && value == "":
		return "", &placeholderError{fmt.Sprintf("the environment variable %s is not set: %s", name, word), ""}
	case !set:
		return "", &placeholderError{fmt.Sprintf("the environment variable %s is not set", name),
			fmt.Sprintf("set it, or write ${%s:-default}", name)}
	}
	return value, nil
}

func (p Placeholders) file(path string) (string, *placeholderError) {
	value, err := connectors.SecretFile(p.path(path)).Reveal()
	if errors.Is(err, fs.ErrNotExist) {
		return "", &placeholderError{err.Error(), "a relative path starts at the directory of this file"}
	}
	if err != nil {
		return "", &placeholderError{err.Error(), ""}
	}
	return value, nil
}

func (p Placeholders) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(p.Dir, path)
}

var onlyFile = regexp.MustCompile(`^\$\{file:([^}]*)\}$`)

// fileOf returns the file that alone is the text's value.
func (p Placeholders) fileOf(text string) (path string, ok bool) {
	m := onlyFile.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	return p.path(m[1]), true
}
