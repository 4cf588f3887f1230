package convert

import (
	"fmt"
	"strings"
)

// Class says what became of a key of the old file.
type Class string

// The classes, in the order in which a report tells them.
const (
	Failed   Class = "error"    // cannot be kept; its connector is left out
	Changed  Class = "changed"  // kept, and does something else in a way that matters
	Ignored  Class = "ignored"  // nats-kafka pays no heed to it, or does not know it
	Obsolete Class = "obsolete" // sets what Sluice does by itself
	Default  Class = "default"  // says what Sluice does anyway, so it is left out
	Mapped   Class = "mapped"
	Skipped  Class = "skipped" // its connector is left out
)

func classes() []Class { return []Class{Failed, Changed, Ignored, Obsolete, Default, Mapped, Skipped} }

// Key is a key of the old file and what became of it.
type Key struct {
	Place string // file:line
	Name  string // such as connect[0].topic
	Class Class
	To    string // the key of ours; empty: none
	Why   string

	value any
	owner *connector // nil: none
}

// word is a text of the old file, or the environment variable that holds it.
type word struct {
	text     string
	variable bool
}

func (w word) empty() bool { return w.text == "" && !w.variable }

// A key that is not there is nil, and so may be told anything.

func (k *Key) mapped(to string) { k.tell(Mapped, to, "") }

func (k *Key) same(why string) { k.tell(Default, "", why) }

func (k *Key) changed(to, format string, args ...any) {
	k.tell(Changed, to, fmt.Sprintf(format, args...))
}

func (k *Key) obsolete(why string) { k.tell(Obsolete, "", why) }

func (k *Key) ignored(format string, args ...any) { k.tell(Ignored, "", fmt.Sprintf(format, args...)) }

// failed tells of an error, and has the key's connector left out.
func (k *Key) failed(format string, args ...any) {
	k.tell(Failed, "", fmt.Sprintf(format, args...))
	if k != nil && k.owner != nil {
		k.owner.broken = true
	}
}

// tell keeps the first error, whatever else is said later.
func (k *Key) tell(class Class, to, why string) {
	if k == nil || k.Class == Failed {
		return
	}
	k.Class, k.To, k.Why = class, to, why
}

// text is a string; nats-kafka does not start with anything else.
func (b *block) text(name string) (word, *Key) {
	k := b.keys[name]
	if k == nil {
		return word{}, nil
	}
	w, ok := k.value.(word)
	if !ok {
		k.failed("nats-kafka takes a string only, and does not start with this")
	}
	return w, k
}

// words is a list of strings, or one.
func (b *block) words(name string) ([]word, *Key) {
	k := b.keys[name]
	if k == nil {
		return nil, nil
	}
	list, ok := k.value.([]any)
	if !ok {
		list = []any{k.value}
	}
	var all []word
	for _, v := range list {
		w, ok := v.(word)
		if !ok {
			k.failed("nats-kafka takes strings only, and does not start with this")
			return nil, k
		}
		all = append(all, w)
	}
	return all, k
}

// number is a whole number, also written as a string.
func (b *block) number(name string) (int64, *Key) {
	k := b.keys[name]
	if k == nil {
		return 0, nil
	}
	switch v := k.value.(type) {
	case int64:
		return v, k
	case word:
		if v.variable {
			k.failed("it stands in the environment variable %s: write the number here and convert again", v.text)
			return 0, k
		}
		var n int64
		if _, err := fmt.Sscanf(v.text, "%d", &n); err == nil && fmt.Sprint(n) == v.text {
			return n, k
		}
	}
	k.failed("nats-kafka takes a whole number only, and does not start with this")
	return 0, k
}

// flag is true or false; any string but true is false.
func (b *block) flag(name string) (bool, *Key) {
	k := b.keys[name]
	if k == nil {
		return false, nil
	}
	switch v := k.value.(type) {
	case bool:
		return v, k
	case word:
		if v.variable {
			k.failed("it stands in the environment variable %s: write true or false here and convert again", v.text)
			return false, k
		}
		return strings.EqualFold(v.text, "true"), k
	}
	k.failed("nats-kafka takes true or false only, and does not start with this")
	return false, k
}

// mappedUnlessTold is mapped for a key of which nothing else has been said.
func (k *Key) mappedUnlessTold(to string) {
	if k != nil && k.Class == "" {
		k.mapped(to)
	}
}
