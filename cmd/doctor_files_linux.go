package cmd

import "syscall"

// openFiles is how many files this process may have open. Go raises the soft limit to the hard one.
func openFiles() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Max, err
}
