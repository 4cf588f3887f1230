package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// refusing is a rig whose sink refuses values, and the configuration of its route.
type refusing struct {
	*rig
	t      *testing.T
	config string

	mu  sync.Mutex
	bad []string
}

func newRefusing(t *testing.T) *refusing {
	t.Helper()
	r := &refusing{rig: newRig(t), t: t}
	r.faults = r.fault
	r.config = write(t, `
routes:
  a:
    from: memory://from
    to: memory://to
    dead_letter: {to: "memory://dead"}
    on_reject: dead_letter
  bare: {from: "memory://to", to: "memory://from"}
admin: {listen: "off"}
log: {format: json}
`)
	return r
}

func (r *refusing) refuse(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = values
}

func (r *refusing) fault(batches []*connectors.Batch) connectortest.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	var failed []connectors.Failure
	index := 0
	for _, b := range batches {
		for _, m := range b.Messages {
			letter := slices.ContainsFunc(m.Headers, func(h connectors.Header) bool { return h.Key == "Dead-Letter-Reason" })
			if !letter && slices.Contains(r.bad, string(m.Value)) {
				failed = append(failed, connectors.Failure{Index: index, Err: connectors.Permanent(fmt.Errorf("message %q is %d too many", m.Value, index))})
			}
			index++
		}
	}
	if failed == nil {
		return connectortest.Fault{}
	}
	return connectortest.Fault{Err: &connectors.BatchError{Failed: failed}}
}

// call runs a command and wants its exit code; it returns what it printed.
func (r *refusing) call(want int, args ...string) (stdout, stderr string) {
	r.t.Helper()
	out, errs := len(r.stdout.String()), len(r.stderr.String())
	if code := r.main(soon(r.t), args); code != want {
		r.t.Errorf("%v: exit code %d, want %d\n%s%s", args, code, want, r.stdout.String()[out:], r.stderr.String()[errs:])
	}
	return r.stdout.String()[out:], r.stderr.String()[errs:]
}

func (r *refusing) letters(want int, args ...string) string {
	r.t.Helper()
	stdout, stderr := r.call(want, append([]string{"dead-letters"}, append(args, "-c", r.config)...)...)
	return stdout + stderr
}

// fill runs the route until ten messages are through, of which three are refused.
func (r *refusing) fill() {
	r.t.Helper()
	ctx := soon(r.t)
	r.refuse("3", "4", "5")
	for i := range 10 {
		r.from.Put(0, connectors.Message{
			Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Append(nil, i), Time: time.Unix(int64(i), 0),
			Headers: []connectors.Header{{Key: "colour", Value: []byte("\x1b[31mred")}},
		})
	}
	text := strings.Replace(mustRead(r.t, r.config), "  bare: {from: \"memory://to\", to: \"memory://from\"}\n", "", 1)
	code := r.start(ctx, "run", "-c", write(r.t, text))
	if err := r.from.AwaitCommitted(ctx, 10); err != nil {
		r.t.Fatal(err, r.stderr)
	}
	r.signals <- syscall.SIGTERM
	if c := await(ctx, r.t, code); c != 0 {
		r.t.Fatalf("exit code %d\n%s", c, r.stderr)
	}
}

func has(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
}

func TestDeadLettersAreListedAndShown(t *testing.T) {
	r := newRefusing(t)
	has(t, r.letters(0, "list", "a"), "0 dead letters of a")
	r.fill()
	list := r.letters(0, "list", "a")
	has(t, list, "3 dead letters of a, of which 3 wait for a redrive", `3      message "…" is # too many`, "from/0@3", "REFUSED AT", "from/0@0", "from/0@1", "from/0@2")
	if strings.Contains(list, "key ") || strings.Contains(list, "colour") {
		t.Errorf("the payload is listed:\n%s", list)
	}
	if one := r.letters(0, "list", "a", "--reason", `"4"`, "--limit", "1"); !strings.Contains(one, "1 dead letter of a") || strings.Contains(one, "from/0@3") {
		t.Errorf("--reason:\n%s", one)
	}
	var answer letterList
	if err := json.Unmarshal([]byte(r.letters(0, "list", "a", "--json", "--limit", "2")), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Letters != 3 || len(answer.Newest) != 2 || len(answer.Causes) != 1 || answer.Newest[0].Attempts != 1 || answer.Newest[0].ValueBytes != 1 {
		t.Errorf("%+v", answer)
	}
	shown := r.letters(0, "show", "a", "from/0@1")
	has(t, shown, "dead letter of a at from/0@1", `reason     message "4" is `, "after 1 attempt", "read at    from/0@4", `header     colour: "\x1b[31mred"`,
		"1970-01-01T00:00:04.000Z", "value      1 byte; --payload shows it")
	if strings.Contains(shown, "key 4") {
		t.Errorf("the payload is shown:\n%s", shown)
	}
	has(t, r.letters(0, "show", "a", "from/0@1", "--payload"), "key        key 4", "value      4")
	has(t, r.letters(0, "show", "a", "from/0@1", "--payload=hex"), "key        6b65792034", "value      34")
}

func TestDeadLettersAreRedriven(t *testing.T) {
	r := newRefusing(t)
	r.fill()
	written := r.to.Written()
	r.refuse("4")
	has(t, r.letters(0, "redrive", "a", "--rate", "1/s"), "no earlier redrive of a is known", "would redrive 3 dead letters of a to memory, in about 3s", `3  message "…" is`, "nothing was written; --yes does it")
	has(t, r.letters(0, "redrive", "a", "--limit", "2"), "would redrive 2 dead letters")
	if r.to.Written() != written || r.dead.Written() != 3 {
		t.Error("a dry run has written something")
	}
	has(t, r.letters(1, "redrive", "a", "--yes"), "redriven: 2 dead letters of a", "refused again, now dead letters anew: 1")
	has(t, r.letters(0, "redrive", "a"), "would redrive 1 dead letter of a")
	has(t, r.letters(0, "list", "a"), "4 dead letters of a, of which 1 waits for a redrive")
	r.letters(1, "redrive", "a", "--yes")
	r.letters(1, "redrive", "a", "--yes")
	has(t, r.letters(0, "redrive", "a"), "would redrive 0 dead letters", "redriven three times already: 1")
	has(t, r.letters(1, "redrive", "a", "--yes"), "redriven: 0", "redriven three times already: 1")
	has(t, r.letters(0, "redrive", "a", "--yes"), "redriven: 0 dead letters of a")
	all := r.to.Messages("from/0")
	if len(all) != 9 || string(all[7].Value) != "3" || string(all[8].Value) != "5" || all[8].Offset != 5 || string(all[8].Key) != "key 5" {
		t.Errorf("the sink holds %+v", all)
	}
}

// TestRedriveFilters: what a redrive would do is what it does, where the filter has changed since and a limit is given.
func TestRedriveFilters(t *testing.T) {
	r := newRefusing(t)
	r.fill()
	r.refuse()
	r.config = write(t, strings.Replace(mustRead(t, r.config), "    on_reject:", "    filter: key != \"key 4\"\n    on_reject:", 1))
	left := "not written, for the route's filter does not let them pass by now: 1"
	has(t, r.letters(0, "redrive", "a", "--limit", "2"), "would redrive 1 dead letter of a", left)
	has(t, r.letters(0, "redrive", "a", "--limit", "2", "--yes"), "redriven: 1 dead letter of a", left)
}

// TestRedriveHalts: a redrive whose letters can go nowhere ends, says why, and goes on there.
func TestRedriveHalts(t *testing.T) {
	r := newRefusing(t)
	r.fill()
	r.wrap = func(s connectors.Sink) connectors.Sink { return broken{s} }
	has(t, r.letters(1, "redrive", "a", "--yes"), "the redrive of a stopped", "sealed", "redrive again")
	r.wrap = nil
	r.refuse()
	has(t, r.letters(0, "redrive", "a", "--yes"), "redriven: 3 dead letters of a")
}

type broken struct{ connectors.Sink }

func (broken) Write(context.Context, []*connectors.Batch) error {
	return connectors.Permanent(errors.New("sealed"))
}

// TestRedriveIsInterrupted: a signal ends it softly, and the next one goes on there.
func TestRedriveIsInterrupted(t *testing.T) {
	r := newRefusing(t)
	r.fill()
	r.refuse()
	code := r.start(soon(t), "dead-letters", "redrive", "a", "--yes", "--rate", "2/h", "-c", r.config)
	if err := r.to.AwaitWritten(soon(t), 8); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGINT
	if c := await(soon(t), t, code); c != exitFailed {
		t.Errorf("exit code %d", c)
	}
	has(t, r.stdout.String(), "redriven: 1 dead letter of a", "interrupted: the next redrive goes on there")
	has(t, r.letters(0, "redrive", "a", "--yes"), "redriven: 2 dead letters of a")
}

func TestWrongLetterCommands(t *testing.T) {
	r := newRefusing(t)
	r.fill()
	for _, tc := range []struct {
		code int
		want string
		args []string
	}{
		{exitConfig, `no route "b"`, []string{"list", "b"}},
		{exitConfig, "there is a, bare", []string{"list", "b"}},
		{exitConfig, "add dead_letter:", []string{"redrive", "bare", "--yes"}},
		{exitConfig, "PARTITION@OFFSET", []string{"show", "a", "7"}},
		{exitConfig, "text or hex", []string{"show", "a", "from/0@0", "--payload=xml"}},
		{exitFailed, "there is nothing at from/0@99", []string{"show", "a", "from/0@99"}},
		{exitEnvironment, "no partition", []string{"show", "a", "nowhere@0"}},
		{exitConfig, "100/s", []string{"redrive", "a", "--rate", "many"}},
		{exitConfig, "--limit", []string{"redrive", "a", "--limit", "-1"}},
	} {
		has(t, r.letters(tc.code, tc.args...), tc.want)
	}
	if _, stderr := r.call(exitConfig, "dead-letters", "list", "a"); !strings.Contains(stderr, `"config" not set`) {
		t.Errorf("without -c: %s", stderr)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
