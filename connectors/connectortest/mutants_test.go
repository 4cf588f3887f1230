package connectortest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a testing.TB whose failures are wanted.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	messages []string
	skipped  bool
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); r.FailNow() }
func (r *recorder) Fatal(args ...any)                 { r.Fatalf("%s", fmt.Sprint(args...)) }

// FailNow ends the goroutine, as the real one does.
func (r *recorder) FailNow() { runtime.Goexit() }

func (r *recorder) Skip(...any) {
	r.skipped = true
	runtime.Goexit()
}

func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Cleanup(f func())    { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.messages) > 0
}

// watch runs a check and returns what it complained of.
func watch(t *testing.T, check func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	var done sync.WaitGroup
	done.Go(func() { check(r) })
	done.Wait()
	for _, f := range r.cleanups {
		f()
	}
	return r
}

// notices fails the test unless the check complained with words.
func (r *recorder) notices(t *testing.T, words string) {
	t.Helper()
	for _, m := range r.messages {
		if strings.Contains(m, words) {
			return
		}
	}
	t.Errorf("the check did not notice; want %q in its complaints %q", words, r.messages)
}

// hasty makes the suite give up soon on what never returns; with waits, also on what never happens.
func hasty(s *Settings, waits bool) {
	s.Timeout, s.Grace = time.Minute, time.Second
	if waits {
		s.Timeout = 2 * time.Second
	}
}

// hang blocks until the test ends, whatever its callers want.
func hang(t *testing.T) func() {
	over, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return func() { <-over.Done() }
}
