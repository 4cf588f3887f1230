package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// resultsFile is the regression record, below the module's root.
const resultsFile = "integration/bench/RESULTS.md"

// heading says when, where and with what the tables were made.
func (b *bench) heading(ctx context.Context) string {
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("an unknown commit")
	}
	var system syscall.Utsname
	kernel := "Linux"
	if syscall.Uname(&system) == nil {
		var release []byte
		for _, c := range system.Release {
			if c == 0 {
				break
			}
			release = append(release, byte(c))
		}
		kernel += " " + string(release)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "## %s, %s\n\n", b.began.UTC().Format(time.DateOnly), bytes.TrimSpace(commit))
	fmt.Fprintf(&s, "%d cores (%s), %s, %s; %s, %s; by hand: franz-go %s, nats.go %s. No compression, values that do not compress, "+
		"one header of 8 B and a key of 16 B; topics of 4 partitions, streams on disk with one copy. `bench %s`\n\n",
		runtime.NumCPU(), processor(), kernel, runtime.Version(), b.kafka.Version, b.nats.Version,
		versions["github.com/twmb/franz-go"], versions["github.com/nats-io/nats.go"], strings.Join(os.Args[1:], " "))
	if b.profiles != "" {
		s.WriteString("Made while every process was profiled.\n\n")
	}
	return s.String()
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// appendResults puts tables behind what the file holds.
func appendResults(ctx context.Context, text string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sluice-bridge/sluice").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(string(bytes.TrimSpace(root)), resultsFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(strings.TrimRight(text, "\n") + "\n\n"); err != nil {
		return err
	}
	return f.Close()
}
