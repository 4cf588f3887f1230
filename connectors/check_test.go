package connectors

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Of several hosts one is enough; where none is, it has failed.
func TestReachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	open, shut := l.Addr().String(), closed.Addr().String()
	ask := func(check int, addresses ...string) []Finding {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return Reachable("kafka", "kafka x", "brokers", addresses)[check].Ask(ctx)
	}
	if f := ask(0, open); len(f) != 1 || f[0].Level != Fine {
		t.Errorf("an address: %+v", f)
	}
	if f := ask(0, "kafka.invalid:9092"); len(f) != 1 || f[0].Level != Failed || !strings.HasPrefix(f[0].Way, "getent hosts kafka.invalid;") {
		t.Errorf("a name that is not known: %+v", f)
	}
	if f := ask(1, open); len(f) != 1 || f[0].Level != Fine {
		t.Errorf("an open port: %+v", f)
	}
	if f := ask(1, shut); len(f) != 1 || f[0].Level != Failed || !strings.HasPrefix(f[0].Way, "nc -vz 127.0.0.1 ") {
		t.Errorf("a closed port: %+v", f)
	}
	if f := ask(1, shut, open); len(f) != 1 || f[0].Level != Warning || !strings.Contains(f[0].Text, shut) {
		t.Errorf("one of two: %+v", f)
	}
}

// A time between question and answer is no skew, however long the answer took.
func TestClock(t *testing.T) {
	asked := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	answered := asked.Add(10 * time.Second)
	for told, want := range map[time.Duration]string{
		0: "", 5 * time.Second: "", 10 * time.Second: "", -2 * time.Second: "", 12 * time.Second: "",
		-3 * time.Second: "is 3s behind this", 40 * time.Second: "is 30s ahead of this",
	} {
		f := Clock("the broker", asked.Add(told), asked, answered)
		if len(f) != 1 || (want == "") != (f[0].Level == Fine) || !strings.Contains(f[0].Text, want) {
			t.Errorf("%v: %+v, want %q", told, f, want)
		}
	}
}

// A name stays one word of the command that people copy, whatever is in it.
func TestCommandLine(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "orders", "orders.>": "'orders.>'", "": "''", "$(reboot)": "'$(reboot)'", "it's; x": `'it'\''s; x'`, "User:alice": "User:alice",
	} {
		if got := CommandLine("kafka --topic=%s --n=%d", name, 3); got != "kafka --topic="+want+" --n=3" {
			t.Errorf("%q becomes %s", name, got)
		}
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[^\x00]{0,12}`).Draw(t, "name")
		out, err := exec.CommandContext(context.Background(), sh, "-c", "printf %s "+ShellWord(name)).Output()
		if err != nil || string(out) != name {
			t.Fatalf("%q came as %q (%v)", name, out, err)
		}
	})
}
