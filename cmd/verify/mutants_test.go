//go:build mutants

package verify

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutants each take one check of the verifier away.
var mutants = []struct{ name, file, old, new string }{
	{"does not compare the sums", "suspects.go", "b.source == b.sink && !b.disordered", "!b.disordered"},
	{"does not look at blocks out of order", "sums.go", "		b.disordered = true\n", ""},
	{"does not remember behind what", "sums.go", "		b.extend(at, l.position)\n", ""},
	{"takes every letter", "letters.go", "!ok || l.Route != c.options.Route", "!ok"},
	{"does not know the source's end", "sums.go", "case p == nil, offset >= p.End:", "case p == nil:"},
	{"does not know the source's partitions", "sums.go", "return nil, origin.Offset, true", "return nil, origin.Offset, false"},
	{"takes holes for messages", "table.go", "	case !e.exists:\n		c.add(b, Finding{Kind: Phantom,", "	case !e.exists:\n		c.add(nil, Finding{Kind: Kind(\"\"),"},
	{"takes every hole for what has gone", "table.go", "!e.exists && (p.Sparse || offset < p.now)", "!e.exists"},
	{"does not ask where the source begins by now", "suspects.go", "p.now = max(p.now, r.First)", "_ = r"},
	{"lets copies be", "table.go", "	if e.seen {\n", "	if e.seen {\n		return\n"},
	{"lets order be", "table.go", "behind && !late && ", "false && behind && !late && "},
	{"lets missing messages be", "table.go", "c.add(b, Finding{Kind: Lost, Source: Place{p.Partition, offset}})", "_ = offset"},
	{"calls everything missing expired", "table.go", "case c.mayHaveLeft(p, offset):", "case true:"},
	{"expects what is not sent back", "sums.go", "		if c.returns(m) {\n", "		if false {\n"},
	{"calls dead letters lost", "table.go", "case !e.exists || e.seen || p.dead(offset):", "case !e.exists || e.seen:"},
	{"lets alterations be", "table.go", "len(fields) > 0 {", "false && len(fields) > 0 {"},
	{"does not compare keys", "hasher.go", "if p.key != q.key {", "if false {"},
	{"does not compare values", "hasher.go", "if p.value != q.value {", "if false {"},
	{"does not compare headers", "hasher.go", "if p.headers != q.headers {", "if false {"},
	{"does not compare times", "hasher.go", "if p.time != q.time && ", "if false && "},
	{"does not print keys", "hasher.go", "key: h.bytes(m.Key), ", ""},
	{"does not print values", "hasher.go", "value: h.bytes(m.Value), ", ""},
	{"does not print headers", "hasher.go", ", headers: h.headers(m.Headers)}", "}"},
	{"does not print times", "hasher.go", "if !m.Time.IsZero() {", "if false {"},
	{"does not tell nil from empty", "hasher.go", "	if b == nil {\n		return 0\n	}\n", ""},
	{"sums do not hold the position", "hasher.go", "	}{p, offset})", "	}{p, 0})"},
	{"does not look where the sink begins", "suspects.go", "if s.start <= s.First {", "if true {"},
	{"ends with the first group", "suspects.go", "return c.examine(ctx, group)\n}\n\n// examine", "return nil\n}\n\n// examine"},
	{"compares what is not committed", "partition.go", "	if p.to == unknown {\n		return p.End\n	}\n	return p.to\n", "	return p.End\n"},
}

// TestMutants takes each check away and sees the tests fail: without any one of them something is let
// through, or called what it is not.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			text, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(text), m.old) != 1 {
				t.Fatalf("%s holds %q %d times, want once", m.file, m.old, strings.Count(string(text), m.old))
			}
			out, err := runWith(t, m.file, strings.Replace(string(text), m.old, m.new, 1))
			switch {
			case err == nil:
				t.Errorf("nothing noticed")
			case strings.Contains(out, "build failed"):
				t.Errorf("the mutant does not compile:\n%s", out)
			}
		})
	}
}

// runWith runs the tests with another text of one file.
func runWith(t *testing.T, file, text string) (string, error) {
	dir := t.TempDir()
	mutant := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(mutant, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	// Not the model: what is found has to be found by name.
	out, err := exec.Command("go", "test", "-overlay", list, "-vet=off", "-ldflags=-s -w", "-skip", "Model|Memory", "-timeout", "60s", ".").CombinedOutput()
	return string(out), err
}
