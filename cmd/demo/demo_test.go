package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka"
	"github.com/sluice-bridge/sluice/connectors/nats"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func registry(t *testing.T) *connectors.Registry {
	t.Helper()
	r, err := connectors.NewRegistry(kafka.Plugin(), nats.JetStream())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDemo plays the demo whole, and beside it one that is broken and one that is interrupted.
func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	short := options{duration: minDuration, rate: 1000}
	broken, interrupted := short, options{duration: maxDuration, rate: 200}
	broken.breaking = breakAlter

	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		var out output
		if err := run(t.Context(), registry(t), short, &out); err != nil {
			t.Errorf("%v:\n%s", err, out.String())
		}
		for _, want := range []string{
			`(?m)^look at it: http://127\.0\.0\.1:\d+, or sluice top --url http://127\.0\.0\.1:\d+$`,
			`orders was held back for \d\.\d s by sink\.ack \(window\.messages was full\) and goes on`,
			`telemetry was held back for \d\.\d s by sink\.ack \(window\.messages was full\) and goes on`,
			`(?m)^orders: [1-9][\d,]* messages read at the source, [1-9][\d,]* messages at the sink, in .*$`,
			`(?m)^orders: equal$`,
			`(?m)^telemetry: [1-9][\d,]* messages read at the source, [1-9][\d,]* messages at the sink, in .*$`,
			`(?m)^telemetry: equal$`,
			`(?m)^ok: both ends are the same$`,
		} {
			if !regexp.MustCompile(want).MatchString(out.String()) {
				t.Errorf("nothing like %s in\n%s", want, out.String())
			}
		}
	})
	all.Go(func() {
		var out output
		err := run(t.Context(), registry(t), broken, &out)
		var code *cmd.ExitError
		if !errors.As(err, &code) || code.Code != 1 {
			t.Errorf("%v", err)
		}
		want := `(?m)^  altered: orders/\d@\d+ differs at sink ORDERS@\d+ in value$`
		if !regexp.MustCompile(want).MatchString(out.String()) || !strings.Contains(out.String(), "orders: different: 1 altered\n") {
			t.Errorf("nothing like %s in\n%s", want, out.String())
		}
	})
	all.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var out output
		if err := run(ctx, registry(t), interrupted, &out); err != nil || !strings.Contains(out.String(), "ok: both ends are the same") {
			t.Errorf("%v:\n%s", err, out.String())
		}
	})
	all.Wait()
	if left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]options{
		"--duration": {duration: time.Second, rate: 1}, "--rate": {duration: minDuration},
		"--break": {duration: minDuration, rate: 1, breaking: "all"},
	} {
		if err := o.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
