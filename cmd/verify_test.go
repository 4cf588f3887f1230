package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/cmd/verify"
	"github.com/sluice-bridge/sluice/connectors"
)

const verified = `
routes:
  a: {from: "memory://from", to: "memory://to"}
  bare: {from: "memory://to", to: "memory://from", headers: none}
`

// moved is a rig whose route a has moved 20 messages.
func moved(t *testing.T) (*rig, string) {
	r, file := newRig(t), write(t, verified)
	r.put(20)
	ctx := soon(t)
	code := r.start(ctx, bridged...)
	if err := r.from.AwaitCommitted(ctx, 20); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, t, code); c != 0 {
		t.Fatalf("run: %d\n%s", c, r.stderr)
	}
	return r, file
}

// again is a message that the sink gets once more.
func (r *rig) again(t *testing.T) {
	s, err := r.to.SinkSpec().Open(t.Context(), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	b := &connectors.Batch{Partition: "from/0", Origin: "memory:from/0", Messages: r.from.Messages("from/0")[3:4]}
	if err := s.Write(t.Context(), []*connectors.Batch{b}); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	r, file := moved(t)
	if code := r.main(soon(t), []string{"verify", "a", "-c", file}); code != 0 || !strings.Contains(r.stdout.String(), "a: equal\n") {
		t.Errorf("equal ends: %d\n%s%s", code, r.stdout, r.stderr)
	}
	r.again(t)
	if code := r.main(soon(t), []string{"verify", "a", "-c", file}); code != exitFailed ||
		!strings.Contains(r.stdout.String(), "doubled: from/0@3 is at sink from/0@3 and again at sink from/0@10") ||
		!strings.Contains(r.stderr.String(), "the ends of route a differ") {
		t.Errorf("a doubled message: %d\n%s%s", code, r.stdout, r.stderr)
	}
}

func TestVerifyJSON(t *testing.T) {
	r, file := moved(t)
	r.again(t)
	from := len(r.stdout.String())
	code := r.main(soon(t), []string{"verify", "a", "-c", file, "--json"})
	var report verify.Report
	if err := json.Unmarshal([]byte(r.stdout.String()[from:]), &report); err != nil {
		t.Fatalf("%v in\n%s", err, r.stdout)
	}
	if code != exitFailed || report.Equal || report.Counts[verify.Doubled] != 1 || len(report.Partitions) != 2 ||
		report.Findings[0].Source != (verify.Place{Partition: "from/0", Position: 3}) {
		t.Errorf("%d, %+v", code, report)
	}
}

// Messages without a time are of all times.
func TestVerifySince(t *testing.T) {
	r, file := moved(t)
	for since, want := range map[string]string{"1h": "0 messages read at the source", "0001-01-01T00:00:00Z": "20 messages read at the source"} {
		from := len(r.stdout.String())
		if code := r.main(soon(t), []string{"verify", "a", "-c", file, "--since", since}); code != 0 || !strings.Contains(r.stdout.String()[from:], want) {
			t.Errorf("%s: %d\n%s%s", since, code, r.stdout, r.stderr)
		}
	}
}

// What cannot be compared is refused with the reason, before anything is opened.
func TestVerifyRefuses(t *testing.T) {
	r, file := newRig(t), write(t, verified)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"verify", "-c", file}, "accepts 1 arg"},
		{[]string{"verify", "a"}, "config"},
		{[]string{"verify", "b", "-c", file}, `no route "b"; the configuration has a, bare`},
		{[]string{"verify", "bare", "-c", file}, "headers: none"},
		{[]string{"verify", "a", "-c", file, "--since", "yesterday"}, "want so long ago"},
	} {
		if code := r.main(soon(t), c.args); code != exitConfig || !strings.Contains(r.stderr.String(), c.want) {
			t.Errorf("%v: %d, want %q in\n%s", c.args, code, c.want, r.stderr)
		}
	}
}

// TestVerifyEnds: an end without a log is refused, one that cannot be reached is another exit code, and
// what is not committed is not compared.
func TestVerifyEnds(t *testing.T) {
	away := errors.New("away")
	for name, c := range map[string]struct {
		change func(*connectors.SourceSpec, *connectors.SinkSpec)
		code   int
		want   string
	}{
		"no log of the source": {func(source *connectors.SourceSpec, _ *connectors.SinkSpec) { source.Log = nil }, exitConfig, "its source (memory) has passed on cannot be read again"},
		"no log of the sink":   {func(_ *connectors.SourceSpec, sink *connectors.SinkSpec) { sink.Log = nil }, exitConfig, "its sink (memory) has written cannot be read again"},
		"away": {func(_ *connectors.SourceSpec, sink *connectors.SinkSpec) {
			sink.Log = func(context.Context, connectors.Env) (connectors.Log, error) { return nil, away }
		}, exitEnvironment, "sink: away"},
		"no positions": {func(source *connectors.SourceSpec, _ *connectors.SinkSpec) {
			source.Positions = func(context.Context, connectors.Env) (connectors.Positions, error) { return nil, away }
		}, exitEnvironment, "committed positions: away"},
		"committed": {func(source *connectors.SourceSpec, _ *connectors.SinkSpec) {
			source.Positions = func(context.Context, connectors.Env) (connectors.Positions, error) {
				return positions{{Partition: "from/0", Next: 4, Known: true}, {Partition: "from/1"}}, nil
			}
		}, 0, "4 to 9: not compared"},
	} {
		r, file := moved(t)
		memory, _ := r.registry.Lookup("memory")
		var source *connectors.SourceSpec
		open, opens := memory.Source, memory.Sink
		memory.Source = func(d connectors.Decode, a connectors.About) (*connectors.SourceSpec, error) {
			spec, err := open(d, a)
			source = spec
			return spec, err
		}
		memory.Sink = func(d connectors.Decode, a connectors.About) (*connectors.SinkSpec, error) {
			spec, err := opens(d, a)
			c.change(source, spec)
			return spec, err
		}
		r.registry, _ = connectors.NewRegistry(memory)
		if code := r.main(soon(t), []string{"verify", "a", "-c", file}); code != c.code || !strings.Contains(r.stdout.String()+r.stderr.String(), c.want) {
			t.Errorf("%s: %d, want %d and %q\n%s%s", name, code, c.code, c.want, r.stdout, r.stderr)
		}
	}
}

type positions []connectors.Position

func (p positions) Committed(context.Context) ([]connectors.Position, error) { return p, nil }
func (positions) Set(context.Context, map[string]int64) error                { return nil }
func (positions) Close(context.Context) error                                { return nil }

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "90m": now.Add(-90 * time.Minute), "2026-01-31T07:59:00Z": now.Add(-time.Minute),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-1h", "0s", "12", "earliest"} {
		if _, err := parseSince(text, now); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
