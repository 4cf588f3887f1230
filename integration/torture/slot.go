package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-bridge/sluice/integration/daemon"
)

// slot is a place for a daemon of a route: its configuration and the process in it, if there is one. One
// goroutine at a time starts and ends it.
type slot struct {
	route *route
	name  string
	file  string // the configuration
	log   string

	mu     sync.Mutex
	daemon *daemon.Daemon // the latest; nil before the first start
	told   *atomic.Bool   // its end is our doing
	ended  chan struct{}  // closed when the daemon and its watch have ended
}

// newSlot makes a place; nothing runs in it yet.
func (r *route) newSlot(name string) (*slot, error) {
	base := filepath.Join(r.stage.dir, r.name+"-"+name)
	s := &slot{route: r, name: name, file: base + ".yaml", log: base + ".log"}
	r.slots = append(r.slots, s)
	return s, os.WriteFile(s.file, []byte(r.config(name)), 0o600)
}

// start starts a daemon. It does not wait until it works.
func (s *slot) start() error {
	d, err := s.route.stage.sluice.Launch(s.log, []string{"run", "-c", s.file})
	if err != nil {
		return err
	}
	ended, told := make(chan struct{}), new(atomic.Bool)
	s.mu.Lock()
	s.daemon, s.told, s.ended = d, told, ended
	s.mu.Unlock()
	go func() {
		defer close(ended)
		s.route.watch.follow(d)
		if !told.Load() {
			s.route.log.find(checkExit, s.route, "daemon %s ended by itself with exit code %d:\n%s", s.name, d.ExitCode(), d.Tail(3))
		}
	}()
	return nil
}

// running returns the daemon, nil if none runs.
func (s *slot) running() *daemon.Daemon {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.daemon == nil {
		return nil
	}
	select {
	case <-s.daemon.Exited():
		return nil
	default:
		return s.daemon
	}
}

// tell returns the daemon that runs, if one does, and says that its end is our doing.
func (s *slot) tell() *daemon.Daemon {
	d := s.running()
	if d != nil {
		s.told.Store(true)
	}
	return d
}

// kill ends the daemon without warning.
func (s *slot) kill() error {
	d := s.tell()
	if d == nil {
		return nil
	}
	return d.Kill()
}

const (
	// drainDeadline is longer than a broker takes that comes back while a daemon drains.
	drainDeadline = time.Minute
	// drainPatience is more than a drain may take.
	drainPatience = drainDeadline + 20*time.Second
)

// terminate asks the daemon to end and returns its exit code.
func (s *slot) terminate() (int, error) {
	d := s.tell()
	if d == nil {
		return 0, nil
	}
	if err := d.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-d.Exited():
		return d.ExitCode(), nil
	case <-time.After(drainPatience):
		_ = d.Kill()
		return 0, fmt.Errorf("daemon %s did not end within %v of SIGTERM", s.name, drainPatience)
	}
}

// end ends the daemon if it runs, frozen or not, and waits for its watch.
func (s *slot) end() {
	_ = s.kill()
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// lastSaid returns what the daemons of a route and the brokers said last, if the check asks why nothing
// moves.
func (r *route) lastSaid(check string) (said []string) {
	if check != checkRecovery {
		return nil
	}
	for _, s := range r.slots {
		if d := s.running(); d != nil {
			said = append(said, "daemon "+s.name+":\n"+d.Tail(saidLines))
		}
	}
	for _, k := range r.stage.kafka {
		said = append(said, k.Process.Name+":\n"+k.Process.Tail(saidLines))
	}
	for _, n := range r.stage.nats {
		said = append(said, n.Process.Name+":\n"+n.Process.Tail(saidLines))
	}
	return said
}

const saidLines = 100
