package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A table that is read and written again is the same, and what is played again takes the place of what stood
// there.
func TestTableIsTakenOver(t *testing.T) {
	m, s := mutants()[0].name, scenarios()[0].name
	d := &detection{
		sound: map[string]caught{s: {scenario: s, after: 3 * time.Second}},
		found: map[string][]caught{m: {{s, []string{checkAltered, checkLost}, 5 * time.Second}, {scenario: s, after: time.Second}}},
	}
	file := filepath.Join(t.TempDir(), "table.md")
	if err := os.WriteFile(file, []byte(d.table()), 0o600); err != nil {
		t.Fatal(err)
	}
	again := &detection{sound: map[string]caught{}, found: map[string][]caught{}}
	if err := again.earlier(file); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.table(), again.table()); diff != "" {
		t.Error(diff)
	}
	played := &detection{sound: map[string]caught{}, found: map[string][]caught{m: {{scenario: s}}}}
	if err := played.earlier(file); err != nil || len(played.found[m]) != 1 || len(played.found[m][0].checks) != 0 {
		t.Errorf("%v, %v", played.found[m], err)
	}
}
