package lines

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const lacks = connectortest.Keys | connectortest.Nulls | connectortest.Headers | connectortest.Times | connectortest.Binary

func TestSource(t *testing.T) {
	for name, follow := range map[string]bool{"to the end": false, "following": true} {
		t.Run(name, func(t *testing.T) {
			connectortest.Source(t, connectortest.SourceHarness{
				New:      func(t testing.TB) connectortest.Upstream { return newUpstream(t, follow) },
				Settings: connectortest.Settings{Lacks: lacks},
			})
		})
	}
}

func newUpstream(t testing.TB, follow bool) connectortest.Upstream {
	path := filepath.Join(t.TempDir(), "in.txt")
	appendLines(t, path)
	return connectortest.Upstream{
		Spec: func(t testing.TB) *connectors.SourceSpec {
			return connectortest.SourceSpec(t, Plugin(), "path: "+path, fmt.Sprint("follow: ", follow))
		},
		Ends: !follow,
		Put:  func(t testing.TB, _ int, messages ...connectors.Message) { appendLines(t, path, messages...) },
	}
}

func appendLines(t testing.TB, path string, messages ...connectors.Message) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, m := range messages {
		if _, err := file.Write(append(bytes.Clone(m.Value), '\n')); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSink(t *testing.T) {
	connectortest.Sink(t, connectortest.SinkHarness{
		New: func(t testing.TB) connectortest.Downstream {
			path := filepath.Join(t.TempDir(), "out.txt")
			return connectortest.Downstream{
				Spec: func(t testing.TB) *connectors.SinkSpec {
					return connectortest.SinkSpec(t, Plugin(), "path: "+path)
				},
				Read: func(t testing.TB, n int) []connectors.Message {
					all := readLines(t, path)
					if len(all) < n {
						t.Fatalf("%d of %d lines are there", len(all), n)
					}
					return all
				},
			}
		},
		Settings: connectortest.Settings{Lacks: lacks},
	})
}

func readLines(t testing.TB, path string) (all []connectors.Message) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		all = append(all, connectors.Message{Value: bytes.TrimSuffix(line, []byte{'\n'})})
	}
	return all
}

var wide = connectors.Room{Messages: 100, Bytes: 1 << 20}

func open(t *testing.T, sections ...string) connectors.Source {
	t.Helper()
	s, err := connectortest.SourceSpec(t, Plugin(), sections...).Open(t.Context(), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// TestHalfLine: a line that is being written is not read before its end.
func TestHalfLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.txt")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\ntw")
	s := open(t, "path: "+path, "follow: true")
	b, err := s.Fetch(t.Context(), wide)
	if err != nil || len(b.Messages) != 1 || b.Next != 4 {
		t.Fatalf("the first line: %v, %v", b, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if b, err := s.Fetch(ctx, wide); err == nil {
		t.Fatalf("half a line was read: %q", b.Messages[0].Value)
	}
	write("one\ntwo\n")
	b, err = s.Fetch(t.Context(), wide)
	if err != nil || string(b.Messages[0].Value) != "two" || b.Messages[0].Offset != 4 {
		t.Fatalf("the second line: %v, %v", b, err)
	}
}

func TestSourceHalts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.txt")
	if err := os.WriteFile(path, []byte("short\n"+strings.Repeat("x", maxLine+1)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, "path: "+path)
	if b, err := s.Fetch(t.Context(), connectors.Room{Messages: 1, Bytes: 1 << 20}); err != nil || b.Next != 6 {
		t.Fatalf("the short line: %v, %v", b, err)
	}
	_, err := s.Fetch(t.Context(), wide)
	if want := path + ": the line at byte 6 is longer than 1048576"; !connectors.IsPermanent(err) || err.Error() != want {
		t.Errorf("Fetch: %v, want %s", err, want)
	}
}

func TestTruncatedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.txt")
	for name, text := range map[string]string{path: "short\n", path + positionSuffix: "100\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := connectortest.SourceSpec(t, Plugin(), "path: "+path).Open(t.Context(), connectors.Env{})
	if !connectors.IsPermanent(err) || !strings.Contains(err.Error(), "was truncated: it has 6 bytes and the position is 100") {
		t.Errorf("Open: %v", err)
	}
}

func TestBrokenPosition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.txt")
	if err := os.WriteFile(path+".position", []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := connectortest.SourceSpec(t, Plugin(), "path: "+path).Open(t.Context(), connectors.Env{})
	if !connectors.IsPermanent(err) {
		t.Errorf("Open: %v", err)
	}
}

func TestSinkRefusesLineEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.txt")
	s, err := connectortest.SinkSpec(t, Plugin(), "path: "+path).Open(t.Context(), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	err = s.Write(t.Context(), []*connectors.Batch{{Messages: []connectors.Message{{Value: []byte("a")}, {Value: []byte("b\nc")}, {Value: []byte("d")}}}})
	want := "message 1: the value has a line end inside"
	if err == nil || err.Error() != want || !connectors.IsPermanent(err) {
		t.Errorf("Write: %v, want %s", err, want)
	}
	if text, _ := os.ReadFile(path); string(text) != "a\nd\n" {
		t.Errorf("the file holds %q", text)
	}
}

func TestConfig(t *testing.T) {
	_, err := Plugin().Source(connectortest.Decode("follow: true"), connectortest.About())
	if want := "path: name the file"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := Plugin().Sink(connectortest.Decode("{paht: x}"), connectortest.About()); err == nil {
		t.Error("an unknown key was accepted")
	}
}
