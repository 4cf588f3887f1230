package brokers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// skewedClock returns a file for go build -overlay with which time.Now is wrong by skew, for the wall clock only.
func skewedClock(dir string, skew time.Duration) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	const reading = "\tsec, nsec, mono := runtimeNow()\n"
	skewed := strings.Replace(string(text), reading, reading+fmt.Sprintf("\tsec += %d\n", int64(skew.Seconds())), 1)
	if skewed == string(text) {
		return "", fmt.Errorf("time.Now of %s reads the clock in another way than this knows", runtime.Version())
	}
	replacement := filepath.Join(dir, "time.go.skewed")
	if err := os.WriteFile(replacement, []byte(skewed), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: replacement}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, overlay, 0o600)
}

// skewSource has a program that asks libc for the time, as a JVM does, get a wrong one.
const skewSource = `#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t) {
	int r = syscall(SYS_clock_gettime, id, t);
	if (r == 0 && id == CLOCK_REALTIME) t->tv_sec += atol(getenv("SLUICE_SKEW"));
	return r;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}
`

// SkewEnv returns the environment in which a JVM's wall clock is wrong by skew. It needs a C compiler, and wraps
// ErrMissing where there is none.
func SkewEnv(dir string, skew time.Duration) ([]string, error) {
	cc, err := exec.LookPath("cc")
	if err != nil || runtime.GOOS != "linux" {
		return nil, fmt.Errorf("%w: cc on Linux, to make a broker's clock wrong", ErrMissing)
	}
	source, library := filepath.Join(dir, "skew.c"), filepath.Join(dir, "skew.so")
	if err := os.WriteFile(source, []byte(skewSource), 0o600); err != nil {
		return nil, err
	}
	if text, err := exec.Command(cc, "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cc: %w\n%s", err, text)
	}
	return []string{"LD_PRELOAD=" + library, fmt.Sprintf("SLUICE_SKEW=%d", int64(skew.Seconds()))}, nil
}
