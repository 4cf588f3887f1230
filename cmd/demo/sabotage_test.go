package demo

import (
	"context"
	"strings"
	"testing"

	"github.com/sluice-bridge/sluice/connectors"
)

// keep is a sink that keeps what it is given.
type keep struct{ got []string }

func (k *keep) Write(_ context.Context, batches []*connectors.Batch) error {
	for _, b := range batches {
		for _, m := range b.Messages {
			k.got = append(k.got, string(m.Value))
		}
	}
	return nil
}

func (*keep) Close(context.Context) error { return nil }

func TestSabotage(t *testing.T) {
	for how, want := range map[string]string{
		breakDrop: "0 2", breakDouble: "0 1 1 2", breakSwap: "1 0 2", breakAlter: "0 0 2", "": "0 1 2",
	} {
		k := &keep{}
		s := &saboteur{Sink: k, how: how}
		s.seen.Store(breakAfter)
		b := &connectors.Batch{Messages: []connectors.Message{{Value: []byte("0")}, {Value: []byte("1")}, {Value: []byte("2")}}}
		for range 2 {
			if err := s.Write(t.Context(), []*connectors.Batch{b}); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(k.got, " "); got != want+" 0 1 2" {
			t.Errorf("%s: %s, want %s once", how, got, want)
		}
	}
}
