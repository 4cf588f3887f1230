package cmd

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// environment is what the process runs under: its limits, and how much of them it uses. 0: not known, or none.
type environment struct {
	CPUs        int    `json:"cpus"`
	GOMAXPROCS  int    `json:"gomaxprocs"`
	GOMEMLIMIT  string `json:"gomemlimit_variable,omitempty"`
	MemoryLimit int64  `json:"go_memory_limit_bytes"` // that is in force
	CgroupLimit int64  `json:"cgroup_memory_limit_bytes"`
	CgroupError string `json:"cgroup_error,omitempty"`
	CPUMax      string `json:"cgroup_cpu_max,omitempty"` // quota and period in microseconds
	Resident    int64  `json:"resident_bytes"`
	FilesOpen   int    `json:"files_open"`
	FilesLimit  uint64 `json:"files_limit"`
	Kernel      string `json:"kernel,omitempty"`
}

// findEnvironment looks; root is where the file system begins. What cannot be read is left out.
func findEnvironment(root string) environment {
	e := environment{CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), GOMEMLIMIT: os.Getenv("GOMEMLIMIT")}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		e.MemoryLimit = limit
	}
	var err error
	if e.CgroupLimit, err = cgroupLimit(root); err != nil {
		e.CgroupError = err.Error()
	}
	read := func(name string) string {
		text, err := readSmall(filepath.Join(root, name))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(text)
	}
	e.CPUMax, e.Kernel = read("sys/fs/cgroup/cpu.max"), read("proc/sys/kernel/osrelease")
	if fields := strings.Fields(read("proc/self/statm")); len(fields) > 1 {
		if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			e.Resident = pages * int64(os.Getpagesize())
		}
	}
	if open, err := os.ReadDir(filepath.Join(root, "proc/self/fd")); err == nil {
		e.FilesOpen = len(open)
	}
	if _, after, ok := strings.Cut(read("proc/self/limits"), "Max open files"); ok {
		if fields := strings.Fields(after); len(fields) > 0 {
			e.FilesLimit, _ = strconv.ParseUint(fields[0], 10, 64) // unlimited: 0
		}
	}
	return e
}
