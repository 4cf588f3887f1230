package main

import (
	"slices"
	"testing"
)

// The seeded faults fit the sources as they are, each names scenarios that exist, and each scenario is
// named by one.
func TestMutantsFit(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range mutants() {
		if _, err := m.texts(root); err != nil {
			t.Error(err)
		}
		for _, by := range m.by {
			named[by] = true
			if !slices.ContainsFunc(scenarios(), func(s *scenario) bool { return s.name == by }) {
				t.Errorf("%s: there is no scenario %s", m.name, by)
			}
		}
	}
	for _, s := range scenarios() {
		if !named[s.name] {
			t.Errorf("no seeded fault is meant to be noticed by scenario %s", s.name)
		}
	}
}
