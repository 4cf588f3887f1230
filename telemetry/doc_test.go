package telemetry

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// Every metric and span is in the tables of the package comment.
func TestDocNamesEverything(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for constant, name := range constants(file) {
		if (strings.HasPrefix(constant, "Metric") || strings.HasPrefix(constant, "Span")) && !strings.Contains(string(doc), "//\t"+name+" ") {
			t.Errorf("doc.go does not list %s", name)
		}
	}
}
