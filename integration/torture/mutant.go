package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// mutant is a daemon with a fault that bridges have: some texts of its source are others.
type mutant struct {
	name  string
	by    []string // the scenarios that are to notice it; the first that does ends the search
	edits []edit
}

func mutants() []*mutant {
	return slices.Concat(bridgeMutants(), kafkaMutants(), natsMutants())
}

// edit replaces a text that stands once in a file, which is named from the module's directory.
type edit struct{ file, old, new string }

// texts returns the changed files by name.
func (m *mutant) texts(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range m.edits {
		if _, ok := texts[e.file]; !ok {
			text, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			texts[e.file] = string(text)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			return nil, fmt.Errorf("%q: %s holds %q %d times, want once", m.name, e.file, e.old, n)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	return texts, nil
}

// overlay writes the changed files to dir and returns what tells go build of them.
func (m *mutant) overlay(root, dir string) (string, error) {
	texts, err := m.texts(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range texts {
		file := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}

// build builds the daemon with the fault.
func (m *mutant) build(ctx context.Context, root, dir string) (*daemon.Program, error) {
	overlay, err := m.overlay(root, dir)
	if err != nil {
		return nil, err
	}
	p := &daemon.Program{Path: filepath.Join(dir, "sluice")}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", p.Path, "./cmd/sluice")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: go build: %w\n%s", m.name, err, text)
	}
	return p, nil
}

// moduleRoot is where the sources are.
func moduleRoot(ctx context.Context) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(text)), err
}
