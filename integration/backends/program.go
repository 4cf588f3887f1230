package backends

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// program is a main package of a module that is not ours.
type program struct {
	module, version string
	pkg             string // in the module
	tags            string
}

var (
	jaegerProgram     = program{"github.com/jaegertracing/jaeger", "v1.76.0", "cmd/jaeger", ""}
	prometheusProgram = program{"github.com/prometheus/prometheus", "v0.316.0", "cmd/prometheus", "remove_all_sd,netgo"}
	promtoolProgram   = program{"github.com/prometheus/prometheus", "v0.316.0", "cmd/promtool", "remove_all_sd,netgo"}
)

// path returns the built program, from the user's cache if it is there. It is built in a copy of its module, for
// `go install` refuses modules that replace others.
func (p *program) path(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	built := filepath.Join(cache, "sluice-integration", filepath.Base(p.pkg)+"-"+p.version)
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	text, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", p.module+"@"+p.version).Output()
	if err != nil {
		return "", fmt.Errorf("download %s@%s: %w %s", p.module, p.version, err, text)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(text, &downloaded); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(built), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(built), "building-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	source, target := filepath.Join(work, "source"), filepath.Join(work, "program")
	if err := os.CopyFS(source, os.DirFS(downloaded.Dir)); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", p.tags, "-trimpath", "-ldflags=-s -w", "-o", target, "./"+p.pkg)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s of %s@%s: %w\n%s", p.pkg, p.module, p.version, err, text)
	}
	return built, os.Rename(target, built)
}
