package integration

import (
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// SCENARIOS.md names tests and torture runs that exist.
func TestScenariosExist(t *testing.T) {
	tests := names(t, os.DirFS(".."), "_test.go", regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`))
	runs := names(t, os.DirFS("torture"), ".go", regexp.MustCompile(`\{(?:name: )?"([a-z-]+)", (?:says: )?"`))
	text, err := os.ReadFile("SCENARIOS.md")
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(text)) {
		row = strings.Trim(row, "| \n")
		for _, name := range regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(row, -1) {
			if !tests[name] {
				t.Errorf("there is no %s", name)
			}
		}
		_, list, found := strings.Cut(row, "; torture: ")
		if !found {
			_, list, found = strings.Cut(row, "| torture: ")
		}
		for _, name := range strings.Split(list, ", ") {
			if found && !runs[name] {
				t.Errorf("there is no torture run %q among %q", name, slices.Sorted(maps.Keys(runs)))
			}
		}
	}
}

// names returns what the pattern names in the files whose names end so.
func names(t *testing.T, tree fs.FS, suffix string, pattern *regexp.Regexp) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		for _, name := range pattern.FindAllSubmatch(text, -1) {
			found[string(name[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
