package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroupLimit returns the smallest limit of the cgroups that this process is in, version 2 or 1; 0: there is
// none. root is where the file system begins.
func cgroupLimit(root string) (least int64, err error) {
	groups, err := readSmall(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(groups) {
		// Lines are hierarchy:controllers:path; version 2 has no controllers.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
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
			n, err := readLimit(filepath.Join(root, mount, group, file))
			if err != nil {
				return 0, err
			}
			if n > 0 && (least == 0 || n < least) {
				least = n
			}
			if group == "/" {
				break
			}
		}
	}
	return least, nil
}

// noLimit is above what version 1 writes for "no limit", which is near 2^63.
const noLimit = 1 << 60

// readLimit reads a cgroup's limit; 0: it has none.
func readLimit(file string) (int64, error) {
	text, err := readSmall(file)
	text = strings.TrimSpace(text)
	if err != nil || text == "" || text == "max" {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n <= 0:
		return 0, fmt.Errorf("%s: %.40q is not a limit of memory", file, text)
	case n >= noLimit:
		return 0, nil
	}
	return n, nil
}

// maxSmall is what is read of a file of the kernel's: a process is in a handful of groups.
const maxSmall = 64 << 10

// readSmall reads a file that need not exist.
func readSmall(name string) (string, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxSmall {
		return "", fmt.Errorf("%s is larger than %d bytes", name, maxSmall)
	}
	return string(text), nil
}
