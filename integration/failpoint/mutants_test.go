//go:build mutants

package failpoint

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mutants are faults in the daemon that ring 2 has to catch: each replaces one text of one file. The kills
// of a pair catch it, or, where one is named, what its brokers do: the faults whose names begin so.
var mutants = []struct{ name, file, old, new, pair, fault string }{
	{"commits what was fetched", "bridge/fetch.go",
		"	return p.lane.Push(f, f.cost.Messages)", "	if p.tracker.Finish(f.ticket) {\n		n.settled.add(p)\n	}\n	return p.lane.Push(f, f.cost.Messages)",
		"kafka-kafka", ""},
	{"does not wait at a revoke", "bridge/host.go",
		"for p.tracker.Open() > 0 && !p.inRetry() {", "for false {",
		"kafka-jetstream", "Heartbeat"},
	{"commits one message too many", "connectors/kafka/source_commit.go",
		"latest[h.feed] = b.Next", "latest[h.feed] = b.Next + 1",
		"kafka-nats", ""},
	{"forgets to commit", "connectors/kafka/source_commit.go",
		"if err := s.commit(ctx, as, parts); err != nil {", "if err := error(nil); err != nil {",
		"kafka-kafka", ""},
	{"begins anew although the group has a position", "connectors/kafka/position.go",
		"at[f] = o.Offset", "at[f] = 0",
		"kafka-jetstream", ""},
	{"takes a request without an answer as written", "connectors/kafka/produce_outcome.go",
		"case o.err == nil || o.code == codeDuplicateSequence:\n		p.accept", "case o.err == nil || o.open || o.code == codeDuplicateSequence:\n		p.accept",
		"kafka-kafka", "Produce is not heard"},
	{"sends again under a new sequence", "connectors/kafka/produce_outcome.go",
		"	default:\n		p.retry(part, o)", "	default:\n		p.resequence(part, o)",
		"kafka-kafka", "Produce REQUEST_TIMED_OUT"},
	{"sends again what the stream may have", "connectors/nats/jetstream_sink_doubt.go",
		"if !s.env.Headers || f.origins == nil ||", "if true ||",
		"kafka-jetstream-fast", "answers are lost"},
	{"takes what has no answer as stored", "connectors/nats/jetstream_sink_flight.go",
		"		case stateStored:\n			o.done = i + 1", "		case stateStored, stateUnknown:\n			o.done = i + 1",
		"kafka-jetstream", "connections are reset"},
	{"acknowledges ten messages too many", "connectors/nats/jetstream_source_commit.go",
		"err := s.acknowledgeTo(ctx, p, sp.at)", "err := s.acknowledgeTo(ctx, p, sequences{sp.at.Consumer + 10, sp.at.Stream + 10})",
		"jetstream-kafka", ""},
	{"does not wait until its acknowledgement is confirmed", "connectors/nats/jetstream_source_commit.go",
		"if _, err := s.conn.request(ctx, p.ack.subject(at), []byte(\"+ACK\")); err != nil {", "if err := p.nc.Publish(p.ack.subject(at), []byte(\"+ACK\")); err != nil {",
		"jetstream-jetstream", ""},
	{"answers requesters too early", "connectors/nats/core_source.go",
		"handle.replies = append(handle.replies, e.m.Reply)", "_ = e.m.Respond(coreAck)",
		"nats-kafka", ""},
	{"does not ask whether the server has it", "connectors/nats/core_sink.go",
		"	if sent > 0 {\n		if err := s.conn.barrier", "	if sent < 0 {\n		if err := s.conn.barrier",
		"kafka-nats", "connections are reset"},
}

// TestMutants builds the daemon with each fault and sees its pair fail.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			program := build(t, m.file, m.old, m.new)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begin := time.Now()
			var c *chain
			var err error
			if p := pairNamed(m.pair); m.fault == "" {
				c, err = p.crash(ctx, t, program)
			} else {
				c, err = p.faults(ctx, t, program, m.fault)
			}
			if c == nil || len(c.findings) == 0 {
				t.Fatalf("%s did not notice: %v", m.pair, err)
			}
			t.Logf("after %v: %s", time.Since(begin).Round(time.Millisecond), c.findings[0])
		})
	}
}

// pairNamed returns the pair of a name.
func pairNamed(name string) *pair {
	all := pairs()
	return &all[slices.IndexFunc(all, func(p pair) bool { return p.name == name })]
}

// build makes the daemon with another text in one file of the module, and returns its path.
func build(t *testing.T, file, old, text string) string {
	t.Helper()
	dir := t.TempDir()
	original, err := filepath.Abs(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), old); n != 1 {
		t.Fatalf("%s holds %q %d times, want once", file, old, n)
	}
	mutant, list, program := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sluice")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{mutant: strings.Replace(string(source), old, text, 1), list: string(overlay)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-overlay", list, "-o", program, "./child").CombinedOutput(); err != nil {
		t.Fatalf("the mutant does not compile: %v\n%s", err, out)
	}
	return program
}
