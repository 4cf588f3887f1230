// Package cmd is the daemon's command line: everything but the choice of connectors, so that anyone can
// build a daemon with connectors of their own in a main of ten lines (see sluice/main.go).
//
// The exit codes are a contract:
//
//	0        done; drained cleanly
//	1        a route or the listener failed; a check did not hold
//	2        the flags or the configuration are wrong; nothing was connected
//	3        what was asked for could not be reached
//	4        the drain deadline passed; what was not committed comes again
//	130 143  a second SIGINT or SIGTERM ended it at once
package cmd
