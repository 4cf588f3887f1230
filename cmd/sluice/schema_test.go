package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/cmd/config"
)

var update = flag.Bool("update", false, "write what is made from the source anew")

// fieldComments returns the comments of the fields of all structs of packages that YAML is read into.
func fieldComments(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok {
					commentsOf(all, file.Name.Name+"."+spec.Name.Name, s)
				}
				return true
			})
		}
	}
	return all
}

func commentsOf(all map[string]string, name string, s *ast.StructType) {
	for _, field := range s.Fields.List {
		if field.Tag == nil || !strings.Contains(field.Tag.Value, `yaml:"`) {
			continue
		}
		text := strings.Join(strings.Fields(field.Doc.Text()+" "+field.Comment.Text()), " ")
		for _, n := range field.Names {
			// A comment that begins with the field speaks of the key here.
			if rest, ok := strings.CutPrefix(text, n.Name+" "); ok {
				key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("yaml"), ",")
				text = key + " " + rest
			}
			if text != "" {
				all[name+"."+n.Name] = text
			}
		}
	}
}

// same wants a file to hold a text.
func same(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(is), text); diff != "" {
		t.Errorf("%s is not what the source says (-is +source); go test ./cmd/sluice -run TestSchema -update writes it:\n%s", path, diff)
	}
}

// made returns what the source says of a configuration.
func made(t *testing.T) (comments map[string]string, d *config.Description) {
	t.Helper()
	registry, err := builtIn()
	if err != nil {
		t.Fatal(err)
	}
	comments = fieldComments(t, "../config", "../../connectors", "../../connectors/kafka", "../../connectors/nats", "../../connectors/lines")
	return comments, config.Describe(registry, comments)
}

// TestSchema: schema, reference and the comments in the program are what the source says.
func TestSchema(t *testing.T) {
	comments, d := made(t)
	text, err := json.MarshalIndent(comments, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "../config/comments.json", string(text)+"\n")
	schema, err := d.Schema()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "../config/sluice.schema.json", string(schema))
	same(t, "../CONFIG.md", d.Reference())
	if !*update {
		if in, err := config.Comments(); err != nil || !reflect.DeepEqual(in, comments) {
			t.Errorf("what is built in: %v", err)
		}
	}
}

func schemaOf(t *testing.T) *jsonschema.Schema {
	t.Helper()
	_, d := made(t)
	text, err := d.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("sluice.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("sluice.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// conforms checks a text by a schema.
func conforms(s *jsonschema.Schema, text string) error {
	var file any
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return err
	}
	plain, err := json.Marshal(file)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(plain)))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

var (
	block    = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	example  = regexp.MustCompile(`(?s)// # The file\n//\n(.*?)\n//\n`)
	prefixed = regexp.MustCompile(`(?m)^//\t?`)
)

// TestExamplesConform: what the documents show is valid by the schema, and so is what init writes.
func TestExamplesConform(t *testing.T) {
	s := schemaOf(t)
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	examples := map[string]string{}
	for i, m := range block.FindAllStringSubmatch(read("../../README.md"), -1) {
		examples[fmt.Sprintf("README, block %d", i+1)] = m[1]
	}
	if len(examples) < 3 {
		t.Errorf("%d examples in README", len(examples))
	}
	m := example.FindStringSubmatch(read("../config/doc.go"))
	if m == nil {
		t.Fatal("no example in doc.go")
	}
	examples["doc.go"] = prefixed.ReplaceAllString(m[1], "")
	registry, err := builtIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"jetstream://h:1/S", "nats://h:1/s"} {
		text, err := config.Start(registry, config.Pair{From: "kafka://h:1/t", To: to})
		if err != nil {
			t.Fatal(err)
		}
		examples["init to "+to] = text
		examples["init to "+to+" with all of it"] = commented.ReplaceAllString(text, "$1$2")
	}
	for name, text := range examples {
		if err := conforms(s, text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// TestSchemaRefuses: what the reader refuses by its form, the schema does.
func TestSchemaRefuses(t *testing.T) {
	s := schemaOf(t)
	const fine = `routes: {a: {source: {kafka: {topics: [t, u], brokers: "k:1"}}, sink: {jetstream: {stream: S, servers: ["n:1"], tls: true}}, window: {max_messages: 5}}}`
	for old, new := range map[string]string{
		"": "", "max_messages: 5": `max_messages: "${N}"`, "tls: true": "tls: {ca_file: x}", "[t, u]": "t", "S,": "5,", "routes:": "defaults: {window: {size: adaptive}}\nroutes:",
	} {
		if err := conforms(s, strings.Replace(fine, old, new, 1)); err != nil {
			t.Errorf("%q for %q: %v", new, old, err)
		}
	}
	for old, new := range map[string]string{
		"max_messages": "max_mesages", "messages: 5": "messages: many", "topics": "topic", "a: {": "a b: {", "kafka: {": "kafka: {}, jetstream: {",
		"sink": "sinc", "window": "headers: some, window", "tls: true": "tls: {ca: x}", "routes:": "defaults: {source: {}}\nroutes:", "max_messages: 5": "max_messages: 5, size: 7",
	} {
		if !strings.Contains(fine, old) || conforms(s, strings.Replace(fine, old, new, 1)) == nil {
			t.Errorf("%q for %q is accepted", new, old)
		}
	}
}
