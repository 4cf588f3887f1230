package cmd

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// releaseProgram takes the pages of the program out of the process; the page cache keeps them, and what is used
// comes back from there at once. The kernel maps sixteen pages around each that is touched, and the start touches
// most of the program: of 25 MiB a daemon at work uses four.
func releaseProgram() {
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }() // only read
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range programMaps(maps, program) {
		// Advice: where it is refused nothing is lost.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// programMaps returns where a program is mapped, by smaps (proc_pid_smaps(5)): those mappings that are read-only
// and of which every page is the file's: what a loader or a debugger has changed is anonymous, in memory or swapped
// out, and would be lost.
func programMaps(smaps io.Reader, program string) (found []mapping) {
	var at mapping
	candidate := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		name, value, _ := strings.Cut(line, " ")
		if strings.HasSuffix(name, ":") {
			none := strings.TrimSpace(value) == "0 kB"
			switch {
			case name == "Anonymous:":
				candidate = candidate && none
			case name == "Swap:" && candidate && none: // it stands behind the other
				found = append(found, at)
			}
			continue
		}
		n, err := fmt.Sscanf(name, "%x-%x", &at.from, &at.to)
		fields := strings.Fields(value)
		candidate = err == nil && n == 2 && len(fields) == 5 && fields[4] == program &&
			(fields[0] == "r--p" || fields[0] == "r-xp")
	}
	return found
}
