// Package daemon runs the sluice program as a process for tests: started from a configuration,
// watched through /status, its log and the operating system, and ended in every way.
package daemon
