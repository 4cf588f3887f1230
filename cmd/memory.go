package cmd

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	defaultMemoryLimit = 512 << 20
	minMemoryLimit     = 48 << 20
	// memoryShare is how much of the limit the garbage collector may let stand; the rest is for what it
	// does not count: the program's text, thread stacks, the kernel's buffers.
	memoryShare = 0.9
)

// setMemoryLimit tells the garbage collector how much memory the process may take, unless GOMEMLIMIT
// has done so, and logs it. fallback counts where no cgroup limits the process.
func setMemoryLimit(log zerolog.Logger, env func(string) (string, bool), fallback connectors.Size) {
	if text, set := env("GOMEMLIMIT"); set && text != "" {
		log.Info().Str("limit", text).Str("from", "GOMEMLIMIT").Msg("memory limit")
		return
	}
	limit, from := int64(fallback), "--memory-limit"
	if n, ok := cgroupLimit("/"); ok {
		limit, from = n, "cgroup"
	}
	debug.SetMemoryLimit(int64(memoryShare * float64(limit)))
	log.Info().Str("limit", mebibytes(limit)).Str("from", from).
		Str("collector", mebibytes(int64(memoryShare*float64(limit)))).Msg("memory limit")
}

func mebibytes(bytes int64) string { return strconv.FormatInt(bytes>>20, 10) + "MiB" }

// cgroupLimit returns the smallest limit of the cgroups that this process is in, version 2 or 1. root
// is where the file system begins.
func cgroupLimit(root string) (int64, bool) {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0, false
	}
	least, found := int64(math.MaxInt64), false
	for lines := bufio.NewScanner(bytes.NewReader(groups)); lines.Scan(); {
		// Lines are hierarchy:controllers:path; version 2 has no controllers.
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		if fields[1] != "" {
			if !strings.Contains(","+fields[1]+",", ",memory,") {
				continue
			}
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		// A container often sees its own group as the root, whatever the path says.
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			if n, ok := readLimit(filepath.Join(root, mount, group, file)); ok && n < least {
				least, found = n, true
			}
			if group == "/" {
				break
			}
		}
	}
	return least, found
}

// noLimit is above what version 1 writes for "no limit", which is near 2^63.
const noLimit = 1 << 60

func readLimit(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n > 0 && n < noLimit
}
