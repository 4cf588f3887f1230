package connectors

import (
	"errors"
	"strings"
)

// List is what a configuration writes as a list, or as one text with commas.
type List []string

// UnmarshalYAML reads either form. It is not UnmarshalText, beside which a list would be refused.
func (l *List) UnmarshalYAML(decode func(any) error) error {
	var text string
	if decode(&text) == nil {
		*l = nil
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*l = append(*l, item)
			}
		}
		return nil
	}
	var items []string
	if err := decode(&items); err != nil {
		return errors.New("want a list, or one text with commas")
	}
	*l = items
	return nil
}
