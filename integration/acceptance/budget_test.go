//go:build integration

package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// manyRoutes is how many routes share the memory of one daemon, and manyLimit what it may take.
const (
	manyRoutes = 16
	manyLimit  = 256 << 20
)

// many changes a direction for one test: so many routes read the one source, each into a sink of its own.
// extra stands in each route. It returns how to look at a sink.
func many(s *scene, way *direction, routes int, extra string) (sink func(i int)) {
	s.Helper()
	one, topic, stream, name := *way, s.topic.Name, s.stream.Name, s.name
	s.Cleanup(func() { *way = one })
	toStream := way == &directions[0]
	sink = func(i int) {
		if toStream {
			s.stream.Name = fmt.Sprintf("%s-%d", stream, i)
		} else {
			s.topic.Name = fmt.Sprintf("%s-%d", topic, i)
		}
	}
	way.config = func(s *scene) string {
		defer func() { s.name, s.topic.Name, s.stream.Name = name, topic, stream }()
		text := "\nroutes:\n"
		for i := range routes {
			sink(i)
			s.name = fmt.Sprintf("%s-%d", name, i)
			text += strings.TrimPrefix(one.config(s), "\nroutes:\n") + extra
		}
		return text
	}
	for i := range routes {
		sink(i)
		if toStream {
			s.must(s.stream.Create(s.ctx, nil, fmt.Sprintf("%s-%d.>", name, i)))
			gone := s.stream
			s.Cleanup(func() { _ = gone.Delete(context.WithoutCancel(s.ctx)) })
		} else {
			s.must(s.topic.Create(s.ctx, 4, nil))
			gone := s.topic
			s.Cleanup(func() { _ = gone.Delete(context.WithoutCancel(s.ctx)) })
		}
	}
	s.topic.Name, s.stream.Name = topic, stream
	return sink
}

// The sinks of sixteen routes are dead, and their windows are four times the memory that there is: the daemon
// keeps to the line that it printed and below its limit. What it took goes back once it has recovered.
func TestBudgetOfManyRoutes(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int
		messages int64
	}{{"64KiB", 64 << 10, 512}, {"100B", 100, 20_000}} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(s *scene, way *direction) {
				s.load.Size = c.size
				sink := many(s, way, manyRoutes, "    window: {size: static}\n") // an adaptive one takes far less of a dead sink
				allArrived := func(n int64) {
					topic, stream := s.topic.Name, s.stream.Name
					defer func() { s.topic.Name, s.stream.Name = topic, stream }()
					for i := range manyRoutes {
						sink(i)
						s.arrive(fmt.Sprint("sink ", i), way.arrived(s), n, time.Minute)
					}
				}
				p := s.dead(way)
				p.Refuse(false)
				const first = 16
				s.must(way.fill(s, s.ctx, 0, first, 0))
				environment := fmt.Sprintf("GOMEMLIMIT=%dKiB", manyLimit*9/10>>10)
				d := s.start(way.config(s), environment)
				allArrived(first)
				s.end(d)
				p.Refuse(true)
				s.must(way.fill(s, s.ctx, first, c.messages, 0))
				d = s.start(way.config(s), environment)
				line := memoryLine(s, d)
				held := untilFull(s, d)
				_, peak, err := d.Resident()
				s.must(err)
				dead := peak
				p.Refuse(false)
				allArrived(c.messages)
				_, peak, err = d.Resident()
				s.must(err)
				if limit := printedLimit(t, line); peak > limit || peak > manyLimit*95/100 {
					s.Errorf("resident %d MiB in a limit of %d MiB; the line says %s", peak>>20, manyLimit>>20, line)
				}
				rest, took := fallsBack(s, d, peak/2)
				s.end(d)
				for i := range manyRoutes {
					sink(i)
					s.clean(way.compare(s))
				}
				row("%s, %d dead sinks, %s values in %d MiB: held %d MiB, peak %d MiB, %d MiB after the sinks came, %d MiB %.0f s later (%s)",
					way.name, manyRoutes, c.name, manyLimit>>20, held>>20, dead>>20, peak>>20, rest>>20, took.Seconds(), line)
			})
		})
	}
}

// memoryLine is what the daemon printed of its memory.
func memoryLine(s *scene, d *daemon.Daemon) string {
	s.Helper()
	for s.ctx.Err() == nil {
		lines, err := d.Lines()
		s.must(err)
		for _, l := range lines {
			if line, _ := l["memory"].(string); l.Message() == "memory limit" {
				return line
			}
		}
		s.sleep(50 * time.Millisecond)
	}
	s.Fatal("no line of memory")
	return ""
}

// untilFull waits until every route waits for room and none has got more for some seconds, and returns the
// bytes in all windows.
func untilFull(s *scene, d *daemon.Daemon) (held int64) {
	s.Helper()
	quiet := time.Now()
	for time.Since(quiet) < seconds(20, 5) {
		routes, err := d.Routes(s.ctx)
		s.must(err)
		var now int64
		waiting := len(routes) == manyRoutes
		for _, r := range routes {
			now += r.Window.Bytes
			waiting = waiting && r.Window.Bytes > 0 && (r.State == "stalled" || r.State == "limited")
		}
		if now != held || !waiting {
			held, quiet = now, time.Now()
		}
		s.sleep(100 * time.Millisecond)
		if s.ctx.Err() != nil {
			s.Fatalf("the windows never filled: %d bytes, %+v", held, routes)
		}
	}
	return held
}

// fallsBack waits until the process has given memory back to the system.
func fallsBack(s *scene, d *daemon.Daemon, below int64) (resident int64, took time.Duration) {
	s.Helper()
	for begin := time.Now(); ; s.sleep(100 * time.Millisecond) {
		resident, _, err := d.Resident()
		s.must(err)
		if took := time.Since(begin); resident < below || took > time.Minute {
			if resident >= below {
				s.Errorf("still %d MiB resident %v after the sinks came", resident>>20, took.Round(time.Second))
			}
			return resident, took
		}
	}
}

// Ten routes that are connected and have nothing to do cost next to nothing. What is resident is the program's
// file for the greater part, of which the system maps as much as it likes; what is the process's own is held to
// account. The bound of the processor's time is generous, for others share the machine; the row tells how much.
func TestIdleRoutes(t *testing.T) {
	both(t, func(s *scene, way *direction) {
		const routes = 10
		many(s, way, routes, "")
		d := s.start(way.config(s))
		for connected := 0; connected < routes; s.sleep(100 * time.Millisecond) {
			all, err := d.Routes(s.ctx)
			if connected = 0; err == nil {
				for _, r := range all {
					if r.SourceConnected && r.SinkConnected && r.State == "idle" {
						connected++
					}
				}
			}
			if s.ctx.Err() != nil {
				s.Fatalf("not idle: %+v (%v)", all, err)
			}
		}
		s.sleep(2 * time.Second)
		before, err := d.CPU()
		s.must(err)
		watched := seconds(60, 10)
		s.sleep(watched)
		after, err := d.CPU()
		s.must(err)
		resident, _, err := d.Resident()
		s.must(err)
		own, err := d.Own()
		s.must(err)
		busy := float64(after-before) / float64(watched)
		found := fmt.Sprintf("%.1f MiB, %.1f of them its own, %.2f %% of a core", float64(resident)/(1<<20), float64(own)/(1<<20), 100*busy)
		row("%s, %d idle routes: %s", way.name, routes, found)
		if resident > 36<<20 || own > 16<<20 || busy > 0.02 {
			s.Errorf("%s; %s", found, d.ResidentKinds())
		}
		s.end(d)
	})
}
