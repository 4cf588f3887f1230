package telemetry

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/flowcontrol"
)

// transcript compares the log of a script with a golden file and bounds its length.
func transcript(t *testing.T, name string, limit int, f func(*script)) string {
	t.Helper()
	log, _ := play(t, f)
	golden(t, name, log)
	if n := strings.Count(log, "\n"); n > limit {
		t.Errorf("%d lines, at most %d are allowed", n, limit)
	}
	return log
}

// The sink freezes for a minute under load.
func TestLinesOfAFrozenSink(t *testing.T) {
	transcript(t, "frozen", 10, func(c *script) {
		c.connect()
		c.sleep(time.Minute)
		c.full(flowcontrol.BlockerAck)
		c.sleep(2 * time.Second)
		if !strings.Contains(c.out.String(), "route stalled") {
			t.Error("no line after two seconds")
		}
		c.sleep(58 * time.Second)
		c.room()
		c.sleep(10 * time.Second)
	})
}

// A stall that ends at once has been told as begun and is told as over.
func TestLinesOfAShortStall(t *testing.T) {
	transcript(t, "short", 4, func(c *script) {
		c.connect()
		c.full(flowcontrol.BlockerAck)
		c.sleep(1600 * time.Millisecond)
		c.room()
		c.sleep(5 * time.Second)
	})
}

// Both brokers are away for three days, and the sink's comes and goes meanwhile.
func TestLinesOfALongOutage(t *testing.T) {
	transcript(t, "outage", 11, func(c *script) {
		c.connect()
		c.sleep(time.Minute) // the line that it is connected is not of the outage
		c.full(flowcontrol.BlockerDisconnected)
		c.set(func(s *RouteStatus) {
			s.SinkConnected, s.Down, s.Detail = false, time.Now(), "dial tcp 10.0.0.7:4222: connection refused"
		})
		c.sleep(30 * time.Second)
		c.set(func(s *RouteStatus) {
			s.SourceConnected, s.Detail = false, "dial tcp 10.0.0.8:9092: connection refused"
		})
		c.sleep(72 * time.Hour)
		c.connect()
		c.room()
		c.sleep(10 * time.Second)
	})
}

// Catching up at full speed is limited: the sink sets the pace, and nothing is wrong.
func TestLinesOfACatchUp(t *testing.T) {
	log := transcript(t, "catchup", 5, func(c *script) {
		c.connect()
		for begin := time.Now(); time.Since(begin) < 10*time.Minute; {
			c.full(flowcontrol.BlockerAck)
			for range 8 {
				c.sleep(100 * time.Millisecond)
				c.clock.Ack(time.Now())
			}
			c.room()
			c.sleep(1300 * time.Millisecond) // a new episode each time
		}
	})
	if strings.Contains(log, "stalled") {
		t.Error("a catch-up was called a stall")
	}
}

// Each crossing that is followed by a stall is told, and before it.
func TestWarningPrecedesEachStall(t *testing.T) {
	log := transcript(t, "crossings", 30, func(c *script) {
		c.connect()
		for range 4 {
			c.full(flowcontrol.BlockerAck)
			c.sleep(20 * time.Second)
			c.room()
			c.sleep(2 * time.Minute)
		}
	})
	var order []string
	for line := range strings.Lines(log) {
		switch {
		case strings.Contains(line, "90 %"):
			order = append(order, "warning")
		case strings.HasPrefix(line, "warn route stalled"):
			order = append(order, "stall")
		}
	}
	if got := strings.Join(order, " "); got != strings.TrimSpace(strings.Repeat("warning stall ", 4)) {
		t.Errorf("order: %s", got)
	}
}

// A sink that acknowledges a message every two seconds is one stall for people.
func TestLinesOfATrickle(t *testing.T) {
	transcript(t, "trickle", 10, func(c *script) {
		c.connect()
		c.full(flowcontrol.BlockerAck)
		for range 300 {
			c.sleep(2 * time.Second)
			c.clock.Ack(time.Now())
		}
		c.room()
		c.sleep(10 * time.Second)
	})
}

// A broker that restarts every twenty seconds for a day does not fill the disk.
func TestLinesOfACrashLoop(t *testing.T) {
	log, _ := play(t, func(c *script) {
		c.connect()
		for begin := time.Now(); time.Since(begin) < 24*time.Hour; {
			c.set(func(s *RouteStatus) { s.SinkConnected, s.Down, s.Detail = false, time.Now(), "connection reset" })
			c.sleep(10 * time.Second)
			c.set(func(s *RouteStatus) { s.SinkConnected, s.Down, s.Detail = true, time.Time{}, "" })
			c.sleep(10 * time.Second)
		}
	})
	if n := strings.Count(log, "\n"); n > 80 {
		t.Errorf("%d lines in a day", n)
	}
	if begins, ends := strings.Count(log, "warn sink disconnected"), strings.Count(log, "info sink connected"); begins != ends || begins < 20 {
		t.Errorf("%d begins, %d ends", begins, ends)
	}
	if !strings.Contains(log, "repeats=") {
		t.Error("what was not told was not counted")
	}
}

// Brokers that are away at start: the route says so and goes on by itself.
func TestLinesOfAStartWithoutBrokers(t *testing.T) {
	transcript(t, "start", 10, func(c *script) {
		c.set(func(s *RouteStatus) { s.Detail = "dial tcp 127.0.0.1:9092: connection refused" })
		c.sleep(90 * time.Second)
		c.set(func(s *RouteStatus) { s.SinkConnected = true })
		c.sleep(30 * time.Second)
		c.connect()
		c.sleep(time.Minute)
	})
}

// A start that takes a second is no news.
func TestLinesOfAQuickStart(t *testing.T) {
	transcript(t, "quickstart", 1, func(c *script) {
		c.sleep(time.Second)
		c.connect()
		c.sleep(time.Hour)
	})
}

func TestLinesOfOtherStates(t *testing.T) {
	transcript(t, "states", 20, func(c *script) {
		c.connect()
		c.sleep(time.Minute)
		c.clock.Enter(flowcontrol.Rebalancing, time.Now())
		c.sleep(3 * time.Second)
		c.clock.Enter(flowcontrol.Flowing, time.Now())
		c.sleep(time.Minute)
		c.set(func(s *RouteStatus) { s.Owner = "host-7/1234" })
		c.clock.Enter(flowcontrol.Standby, time.Now())
		c.sleep(2 * time.Hour)
		c.clock.Enter(flowcontrol.Idle, time.Now())
		c.sleep(time.Minute)
		c.clock.Enter(flowcontrol.Paused, time.Now())
		c.sleep(time.Minute)
		c.clock.Enter(flowcontrol.Disconnected, time.Now())
		c.set(func(s *RouteStatus) { s.Detail = "topic orders does not exist" })
		c.sleep(time.Minute)
		c.connect()
		c.sleep(time.Minute)
		c.set(func(s *RouteStatus) {
			s.Blocker = flowcontrol.BlockerRetry
			s.InFlight = []LaneStatus{{Partition: "orders/1", Messages: 1, Attempts: 3, Error: "no stream matches subject", Blocker: flowcontrol.BlockerRetry}}
		})
		c.sleep(30 * time.Second)
		c.set(func(s *RouteStatus) { s.Blocker, s.InFlight = 0, nil })
		c.sleep(time.Minute)
		// Whoever halts a route tells it; here it is only told that it still is.
		c.set(func(s *RouteStatus) {
			s.SourceConnected, s.SinkConnected, s.Down, s.Detail = false, false, time.Now(), "message refused"
		})
		c.clock.Enter(flowcontrol.Halted, time.Now())
		c.sleep(2 * time.Minute)
		c.connect()
		c.sleep(time.Minute)
	})
}

// A stop in the middle tells what went on until then.
func TestLinesOfAStop(t *testing.T) {
	transcript(t, "stop", 10, func(c *script) {
		c.connect()
		c.full(flowcontrol.BlockerAck)
		c.sleep(5 * time.Second)
	})
}

// A stop while brokers are away ends the watch, not the outage.
func TestLinesOfAStopInAnOutage(t *testing.T) {
	log := transcript(t, "stopaway", 10, func(c *script) {
		c.connect()
		c.sleep(time.Minute)
		c.set(func(s *RouteStatus) { s.SinkConnected, s.Down, s.Detail = false, time.Now(), "connection reset" })
		c.sleep(20 * time.Second)
		c.set(func(s *RouteStatus) { s.Ended = true })
	})
	if strings.Contains(log, "sink connected") {
		t.Error("the sink was said to be back")
	}
}

// A connection that is back within a second is no news.
func TestLinesOfABlip(t *testing.T) {
	transcript(t, "blip", 1, func(c *script) {
		c.connect()
		c.sleep(time.Minute)
		for range 5 {
			c.set(func(s *RouteStatus) { s.SinkConnected, s.Down = false, time.Now() })
			c.sleep(900 * time.Millisecond)
			c.connect()
			c.sleep(time.Minute)
		}
	})
}
