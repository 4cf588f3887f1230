package brokers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Pair is one Kafka and one nats-server that the tests of a package share.
type Pair struct {
	Kafka *Kafka
	NATS  *NATS
	err   error
}

// StartPair starts both. It never fails: Need reports what went wrong to each test that needs it.
func StartPair(dir string) *Pair {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	p := &Pair{}
	p.NATS, p.err = StartNATS(ctx, filepath.Join(dir, "nats"))
	if p.err == nil {
		p.Kafka, p.err = StartKafka(ctx, filepath.Join(dir, "kafka"))
	}
	return p
}

// Need skips the test where the machine lacks what the brokers need, and fails it where they could not
// be started. In CI nothing is skipped.
func (p *Pair) Need(t testing.TB) {
	t.Helper()
	switch {
	case p.err == nil:
	case errors.Is(p.err, ErrMissing) && os.Getenv("CI") != "true":
		t.Skip(p.err)
	default:
		t.Fatal(p.err)
	}
}

// NeedControl is Need for a test that freezes or kills brokers.
func (p *Pair) NeedControl(t testing.TB) {
	t.Helper()
	p.Need(t)
	if p.Kafka.Process == nil || p.NATS.Process == nil {
		t.Skip("the brokers are from the environment and cannot be frozen or killed")
	}
}

// Heal brings back what a test has left frozen or dead, so that the next one is not its victim.
func (p *Pair) Heal(ctx context.Context) error {
	if p.err != nil || p.Kafka.Process == nil || p.NATS.Process == nil {
		return nil
	}
	return errors.Join(p.Kafka.Process.heal(ctx, p.Kafka.Restart), p.NATS.Process.heal(ctx, p.NATS.Restart))
}

func (p *Process) heal(ctx context.Context, restart func(context.Context) error) error {
	select {
	case <-p.Exited():
		return restart(ctx)
	default:
		return p.Thaw()
	}
}

// Stop ends both.
func (p *Pair) Stop() {
	if p.Kafka != nil && p.Kafka.Process != nil {
		_ = p.Kafka.Process.Stop(10 * time.Second)
	}
	if p.NATS != nil && p.NATS.Process != nil {
		_ = p.NATS.Process.Stop(10 * time.Second)
	}
}

// Line says what ran.
func (p *Pair) Line() string {
	if p.err != nil {
		return fmt.Sprintf("real brokers did not run: %v", p.err)
	}
	return "ran against " + p.Kafka.Line() + " and " + p.NATS.Line()
}
