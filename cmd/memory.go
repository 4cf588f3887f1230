package cmd

import (
	"math"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	defaultMemoryLimit = 512 << 20
	minMemoryLimit     = 40 << 20
	// collectorShare is how much of the limit the garbage collector may let stand; the rest is for what it
	// does not count: the text of the program, most of all. Whoever sets GOMEMLIMIT leaves as much.
	collectorShare = 0.9
	// processShare is how much of the limit the process takes by its own account.
	processShare = 0.95
	// uncounted is what the collector does not count, where the routes' own need is the bound: part of what
	// they say the process takes by itself.
	uncounted = 32 << 20
)

// memory is how much the process may take, and who says so.
type memory struct {
	limit     int64
	from      string
	collector int64 // GOMEMLIMIT; math.MaxInt64 if there is none
	off       bool  // GOMEMLIMIT=off: the operator wants no limit for the collector
}

// findMemory finds how much memory the process may take: what the cgroup allows, and no more than what
// GOMEMLIMIT stands for; fallback where neither is set. root is where the file system begins.
func findMemory(log zerolog.Logger, env func(string) (string, bool), fallback connectors.Size, root string) memory {
	m := memory{int64(fallback), "--memory-limit", math.MaxInt64, false}
	if text, _ := env("GOMEMLIMIT"); text == "off" {
		m.off = true
	} else if text != "" {
		var size connectors.Size // the runtime has read it before us, and ends the process if it cannot
		if err := size.UnmarshalText([]byte(text)); err != nil {
			log.Warn().Err(err).Str("from", "GOMEMLIMIT").Str("limit", mebibytes(m.limit)).Msg("memory limit is not understood; --memory-limit holds")
		} else {
			m.collector = int64(size)
			m.limit, m.from = int64(float64(size)/collectorShare), "GOMEMLIMIT"
		}
	}
	cgroup, err := cgroupLimit(root)
	if err != nil {
		log.Warn().Err(err).Str("from", m.from).Str("limit", mebibytes(m.limit)).
			Msg("the cgroup's memory limit cannot be read: set --memory-limit to it")
	}
	if cgroup > 0 && (cgroup < m.limit || m.from == "--memory-limit") {
		m.limit, m.from = cgroup, "cgroup"
	}
	return m
}

// share is what the routes and the process itself may take.
func (m *memory) share() int64 { return int64(processShare * float64(m.limit)) }

// set tells the garbage collector how much memory the process may take and logs it, with how much that is
// at most and how it comes about. That is the collector's limit too, for it would let the heap grow to twice
// what is in use and make the line untrue.
func (m *memory) set(log zerolog.Logger, need int64, line string) {
	if need > m.limit {
		log.Warn().Str("limit", mebibytes(m.limit)).Str("from", m.from).Str("routes_need", mebibytes(need)).
			Msg("the routes may need more memory than there is: run fewer in a process, or raise the limit")
	}
	e := log.Info().Str("limit", mebibytes(m.limit)).Str("from", m.from).Str("memory", line)
	if !m.off {
		collector := min(m.collector, int64(collectorShare*float64(m.limit)), need-uncounted)
		debug.SetMemoryLimit(collector)
		e = e.Str("collector", mebibytes(collector))
	}
	e.Msg("memory limit")
}

const (
	// Memory is given back when no more than a part of what was held is held, and has been for a while.
	giveBackShare = 8
	giveBackAfter = 10 * time.Second
	// giveBackLeast is what is not worth a collection.
	giveBackLeast = 16 << 20
)

// giveBack gives memory back to the system when the windows hold far less than they did, as after a stall:
// an idle process collects every two minutes, and would give back after that for the second time.
type giveBack struct {
	most  int64 // held since it was given back
	since time.Time
	free  func()
}

// look is called about once a second with what all windows hold.
func (g *giveBack) look(held int64, now time.Time) {
	g.most = max(g.most, held)
	if g.most < giveBackLeast || held > g.most/giveBackShare || g.since.IsZero() {
		g.since = now
		return
	}
	if now.Sub(g.since) >= giveBackAfter {
		g.free()
		g.most, g.since = held, now
	}
}

// freeMemory collects twice, for what is kept in a pool outlives one collection, and gives back what is free.
func freeMemory() {
	runtime.GC()
	debug.FreeOSMemory()
	releaseProgram()
}

func mebibytes(bytes int64) string { return strconv.FormatInt(bytes>>20, 10) + "MiB" }
