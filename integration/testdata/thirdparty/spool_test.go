package spool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

const lacks = connectortest.Keys | connectortest.Nulls | connectortest.Headers | connectortest.Times

func TestSource(t *testing.T) {
	connectortest.Source(t, connectortest.SourceHarness{
		New: func(t testing.TB) connectortest.Upstream {
			dir := t.TempDir()
			upstream := &sink{dir: dir, next: 1}
			return connectortest.Upstream{
				Spec: func(t testing.TB) *connectors.SourceSpec {
					return connectortest.SourceSpec(t, Plugin(), "dir: "+dir)
				},
				Put: func(t testing.TB, _ int, messages ...connectors.Message) {
					for _, m := range messages {
						if err := upstream.put(m.Value); err != nil {
							t.Fatal(err)
						}
					}
				},
			}
		},
		Settings: connectortest.Settings{Lacks: lacks},
	})
}

func TestSink(t *testing.T) {
	connectortest.Sink(t, connectortest.SinkHarness{
		New: func(t testing.TB) connectortest.Downstream {
			dir := t.TempDir()
			return connectortest.Downstream{
				Spec: func(t testing.TB) *connectors.SinkSpec { return connectortest.SinkSpec(t, Plugin(), "dir: "+dir) },
				Read: func(t testing.TB, n int) []connectors.Message { return read(t, dir, n) },
			}
		},
		Settings: connectortest.Settings{Lacks: lacks},
	})
}

func read(t testing.TB, dir string, n int) (all []connectors.Message) {
	files, err := filepath.Glob(filepath.Join(dir, "*.message"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		value, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, connectors.Message{Value: value})
	}
	if len(all) < n {
		t.Fatalf("%d of %d files are there", len(all), n)
	}
	return all
}
