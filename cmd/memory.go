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
	minMemoryLimit     = 40 << 20
	// memoryShare is how much of the limit the garbage collector may let stand; the rest is for what it
	// does not count: the text of the program, most of all.
	memoryShare = 0.9
	// uncounted is the same where the routes' own need is the bound: part of what they say the process
	// takes by itself.
	uncounted = 32 << 20
)

// setMemoryLimit tells the garbage collector how much memory the process may take, unless GOMEMLIMIT
// has done so, and logs it. That is what the routes need at most, for the collector would let the heap
// grow to twice what is in use and make their memory lines untrue; and it is never more than the cgroup
// allows, or fallback where no cgroup limits the process.
func setMemoryLimit(log zerolog.Logger, env func(string) (string, bool), fallback connectors.Size, need int64) {
	if text, set := env("GOMEMLIMIT"); set && text != "" {
		log.Info().Str("limit", text).Str("from", "GOMEMLIMIT").Str("routes_need", mebibytes(need)).Msg("memory limit")
		return
	}
	limit, from := int64(fallback), "--memory-limit"
	if n, ok := cgroupLimit("/"); ok {
		limit, from = n, "cgroup"
	}
	if need > limit {
		log.Warn().Str("limit", mebibytes(limit)).Str("from", from).Str("routes_need", mebibytes(need)).
			Msg("the routes may need more memory than there is: lower their window.max_bytes, or raise the limit")
	}
	collector := min(int64(memoryShare*float64(limit)), need-uncounted)
	debug.SetMemoryLimit(collector)
	log.Info().Str("limit", mebibytes(limit)).Str("from", from).Str("routes_need", mebibytes(need)).
		Str("collector", mebibytes(collector)).Msg("memory limit")
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
