package kafka

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCodeClasses(t *testing.T) {
	for c, want := range map[code]class{
		-1: classRetry, 7: classRetry, 19: classRetry, 20: classRetry, 9999: classRetry,
		3: classRefresh, 6: classRefresh, 15: classCoordinator,
		2: classRefused, 10: classRefused, 32: classRefused, 87: classRefused,
		45: classSequence, 59: classSequence, 27: classMember, 82: classMember,
		29: classMisconfigured, 42: classMisconfigured, 58: classMisconfigured, 76: classMisconfigured,
	} {
		if got := c.class(); got != want {
			t.Errorf("code %d: class %d, want %d", c, got, want)
		}
	}
}

// An error names what was asked of whom, what was answered, and the way out.
func TestCodeError(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", &brokerError{code: 87, doing: "produce to t/0 at broker 2", detail: strings.Repeat("x", 1000)})
	for _, want := range []string{"produce to t/0 at broker 2", "Invalid Record (87)", "needs a key", "xxx"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if len(err.Error()) > 600 {
		t.Errorf("%d bytes", len(err.Error()))
	}
	if c, ok := codeOf(err); c != codeInvalidRecord || !ok {
		t.Errorf("code %d %v", c, ok)
	}
	if _, ok := codeOf(errors.New("EOF")); ok {
		t.Error("an error without a code has one")
	}
	if codeError(codeNone, "do") != nil {
		t.Error("no code is an error")
	}
	if got := codeError(120, "do").Error(); got != "do: error code 120" {
		t.Error(got)
	}
}
