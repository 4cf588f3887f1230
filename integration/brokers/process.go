package brokers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that a test starts, freezes, kills and starts again. Its methods are called by
// one goroutine; Exited may be read by any.
type Process struct {
	Name string   // for errors
	Path string   // the program
	Args []string // without the program's name
	Env  []string // added to the environment
	Log  string   // file that gets stdout and stderr, appended over restarts
	Dir  string   // working directory

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts the program. It does not wait until it is ready.
func (p *Process) Start() error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, log, log
	cmd.Env = append(os.Environ(), p.Env...)
	// A group of its own: a Ctrl-C at the terminal ends the test, which ends its processes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.done, p.err = cmd, done, nil
	p.mu.Unlock()
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// Pid returns the process id of the latest start.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Exited is closed when the latest start has ended.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// ExitCode waits for the end and returns the exit code; -1 if a signal ended it.
func (p *Process) ExitCode() int {
	<-p.Exited()
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends sig.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Freeze stops the process in its tracks; its connections stay open and answer nothing. It returns when
// every thread has stopped: the signal alone is only a request to. Linux only.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(time.Millisecond) {
		running, err := runningThreads(p.Pid())
		if err != nil || running == 0 {
			return err
		}
	}
	return fmt.Errorf("%s: threads still run 10 s after SIGSTOP", p.Name)
}

// runningThreads returns how many threads of a process are not stopped.
func runningThreads(pid int) (running int, err error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return 0, err
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, may hold blanks; the state stands behind it.
		if _, state, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " "); !strings.HasPrefix(state, "T") {
			running++
		}
	}
	return running, nil
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }

// Kill ends the process without warning and waits until it is gone.
func (p *Process) Kill() error {
	err := p.Signal(syscall.SIGKILL)
	<-p.Exited()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop asks the process to end, waits for at most patience, then kills it.
func (p *Process) Stop(patience time.Duration) error {
	if p.cmd == nil {
		return nil
	}
	_ = p.Thaw() // a frozen process does not hear
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.Exited():
		return nil
	case <-time.After(patience):
		return p.Kill()
	}
}

// Tail returns the last n lines of the log, for the message of a failing test.
func (p *Process) Tail(n int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Resident returns the resident memory in bytes: what it is, and the most it ever was since the last
// ResetPeak. Linux only.
func (p *Process) Resident() (now, peak int64, err error) {
	text, err := p.status()
	if err != nil {
		return 0, 0, err
	}
	now, peak = ResidentOf(text)
	return now, peak, nil
}

// Own returns the resident memory that is the process's own: without the pages of the program's file, which it
// shares with the system's cache and which are mapped by the dozen. Linux only.
func (p *Process) Own() (int64, error) {
	text, err := p.status()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("the status of %s has no RssAnon", p.Name)
}

func (p *Process) status() ([]byte, error) {
	return os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
}

// ResidentOf reads the same from the text of a /proc/PID/status.
func ResidentOf(text []byte) (now, peak int64) {
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak
}

// ResidentKinds says for people of what kinds the resident memory is now: a program's text counts as much as
// its heap. Linux only.
func (p *Process) ResidentKinds() string {
	text, err := p.status()
	if err != nil {
		return err.Error()
	}
	var kinds []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Rss") {
			kinds = append(kinds, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(kinds, ", ")
}

// CPU returns the processor time used so far. Linux only.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		return 0, err
	}
	// The second field may hold blanks; it ends at the last parenthesis.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of %s has %d fields", p.Name, len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

// FreePorts returns n ports of the loopback interface that nobody listens on.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// All stay open until the last is known, so that they differ.
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
