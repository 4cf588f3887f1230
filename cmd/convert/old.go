package convert

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
)

// Bounds of what is read: nats-server's parser has none of its own, and follows a circle of includes for ever.
const (
	maxFile  = 1 << 20
	maxFiles = 100
	maxDepth = 20
	// mark begins the value of an environment variable while the file is parsed, so that it is known again.
	mark = "\ue000"
)

// token is what nats-server's parser gives for a value when it is asked to check.
type token interface {
	Value() any
	Line() int
	SourceFile() string
	IsUsedVariable() bool
}

// block is a map of the old file. Names are in lower case, as nats-kafka does not tell them apart.
type block struct {
	path   string // such as connect[0].tls
	place  string // file:line
	keys   map[string]*Key
	blocks map[string][]*block
}

// read parses a file with all that it includes.
func read(path string) (*block, error) {
	o := oldFiles{text: map[string]string{}}
	if err := o.collect(path, nil); err != nil {
		return nil, err
	}
	parsed, err := o.parse(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	root := newBlock("", path+":1")
	return root, root.fill(parsed, 0)
}

// parse has nats-server's parser read a file. That panics at some of what is no configuration.
func (o *oldFiles) parse(path string) (parsed map[string]any, err error) {
	defer o.markVariables()()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is no configuration: %v", p)
		}
	}()
	return conf.ParseFileWithChecks(path)
}

// oldFiles are the texts of a file and of those that it includes.
type oldFiles struct{ text map[string]string }

var (
	include  = regexp.MustCompile(`(?i)\binclude[ \t]+["']?([^"'\s;,\]}]+)`)
	variable = regexp.MustCompile(`\$([A-Za-z_][A-Za-z0-9_]*)`)
)

// collect looks for includes as the parser does, and takes more for one than that does: a file that is not there is
// the parser's to complain of.
func (o *oldFiles) collect(path string, above []string) error {
	path = filepath.Clean(path)
	if slices.Contains(above, path) {
		return fmt.Errorf("%s includes itself, by way of %s", path, strings.Join(above, ", "))
	}
	if _, known := o.text[path]; known {
		return nil
	}
	f, err := os.Open(path)
	switch {
	case err != nil && len(above) > 0:
		return nil
	case err != nil:
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	o.text[path] = string(data)
	if len(data) > maxFile || len(o.text) > maxFiles {
		return fmt.Errorf("%s: more than %d bytes, or more than %d files", path, maxFile, maxFiles)
	}
	for _, m := range include.FindAllStringSubmatch(string(data), -1) {
		if err := o.collect(filepath.Join(filepath.Dir(path), m[1]), append(slices.Clone(above), path)); err != nil {
			return err
		}
	}
	return nil
}

// markVariables sets every environment variable that the files may mean to a mark with its name: the parser would put
// its value, which may be a secret, where the name is wanted, and fail for one that is not set here. The returned
// function undoes it.
func (o *oldFiles) markVariables() (restore func()) {
	before := map[string]*string{}
	for _, text := range o.text {
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			name := m[1]
			if _, done := before[name]; done {
				continue
			}
			before[name] = nil
			if value, ok := os.LookupEnv(name); ok {
				before[name] = &value
			}
			_ = os.Setenv(name, `"`+mark+name+`"`) // a name of this form can be set
		}
	}
	return func() {
		for name, value := range before {
			if value == nil {
				_ = os.Unsetenv(name)
				continue
			}
			_ = os.Setenv(name, *value)
		}
	}
}

func newBlock(path, place string) *block {
	return &block{path: path, place: place, keys: map[string]*Key{}, blocks: map[string][]*block{}}
}

// fill reads what the parser gave for a map.
func (b *block) fill(parsed map[string]any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d blocks within each other", b.place, maxDepth)
	}
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		t, ok := parsed[name].(token)
		if !ok {
			return fmt.Errorf("%s: %s cannot be read", b.place, name)
		}
		lower := strings.ToLower(name)
		k := &Key{Place: fmt.Sprintf("%s:%d", t.SourceFile(), t.Line()), Name: strings.TrimPrefix(b.path+"."+name, ".")}
		if b.keys[lower] != nil || b.blocks[lower] != nil {
			return fmt.Errorf("%s: %s stands there twice", k.Place, k.Name)
		}
		inner, list := blocksOf(t.Value())
		for i, m := range inner {
			path := k.Name
			if list {
				path = fmt.Sprintf("%s[%d]", k.Name, i)
			}
			below := newBlock(path, k.Place)
			if err := below.fill(m, depth+1); err != nil {
				return err
			}
			b.blocks[lower] = append(b.blocks[lower], below)
		}
		if len(inner) > 0 {
			continue
		}
		k.value = plain(t.Value())
		if t.IsUsedVariable() {
			k.tell(Mapped, "", "used below")
		}
		b.keys[lower] = k
	}
	return nil
}

// blocksOf returns the maps that a value is, or that its list consists of.
func blocksOf(value any) (maps []map[string]any, list bool) {
	if m, ok := value.(map[string]any); ok {
		return []map[string]any{m}, false
	}
	all, _ := value.([]any)
	for _, v := range all {
		if t, ok := v.(token); ok {
			v = t.Value()
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		maps = append(maps, m)
	}
	return maps, true
}

// plain returns a value without tokens; strings become words.
func plain(value any) any {
	switch v := value.(type) {
	case token:
		return plain(v.Value())
	case string:
		if name, ok := strings.CutPrefix(v, mark); ok {
			return word{name, true}
		}
		return word{v, false}
	case []any:
		all := make([]any, len(v))
		for i := range v {
			t, ok := v[i].(token)
			if !ok {
				continue
			}
			if _, nested := t.Value().([]any); !nested { // nats-kafka takes no list of lists
				all[i] = plain(t)
			}
		}
		return all
	}
	return value
}

// one returns the block below b that is called name; an empty one where there is none.
func (b *block) one(name string) *block {
	if all := b.blocks[name]; len(all) > 0 {
		return all[0]
	}
	return newBlock("", "")
}

// each calls f for every key below b, in the order of their places as far as that goes.
func (b *block) each(f func(*Key)) {
	for _, name := range slices.Sorted(maps.Keys(b.keys)) {
		f(b.keys[name])
	}
	for _, name := range slices.Sorted(maps.Keys(b.blocks)) {
		for _, below := range b.blocks[name] {
			below.each(f)
		}
	}
}
