// Package profile lets the programs that the benchmark starts profile themselves.
package profile

import (
	"log"
	"os"
	"runtime"
	"runtime/pprof"
)

// Variable names the environment variable that holds the path, without its ending, under which the
// profiles of a process are written: <path>.cpu and <path>.heap.
const Variable = "SLUICE_BENCH_PROFILE"

// Start profiles the process until the returned function is called, if Variable is set.
func Start() (stop func()) {
	path := os.Getenv(Variable)
	if path == "" {
		return func() {}
	}
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		log.Fatal(err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		log.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		heap, err := os.Create(path + ".heap")
		if err != nil {
			log.Fatal(err)
		}
		runtime.GC() // the profile is of the last collection
		if err := pprof.WriteHeapProfile(heap); err != nil {
			log.Fatal(err)
		}
		if err := heap.Close(); err != nil {
			log.Fatal(err)
		}
		if err := cpu.Close(); err != nil {
			log.Fatal(err)
		}
	}
}
