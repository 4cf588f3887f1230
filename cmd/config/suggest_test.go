package config

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	keys := []string{"max_messages", "max_bytes", "topics", "client_id", "group", "tls"}
	for word, want := range map[string]string{
		"max_mesages": "max_messages", "MAX_BYTES": "max_bytes", "topcis": "topics", "topic": "topics", "client": "client_id",
		"grp": "group", "completely_else": "", "x": "", "": "", "tlsx": "tls", "cl": "",
	} {
		if got, _ := nearest(word, keys); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// TestDistance: it is a metric, and one edit is one step.
func TestDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-d]{0,6}`)
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		switch ab := distance(a, b); {
		case ab != distance(b, a):
			t.Fatal("not symmetric")
		case (ab == 0) != (a == b):
			t.Fatalf("distance of %q and %q is %d", a, b, ab)
		case ab > distance(a, c)+distance(c, b):
			t.Fatal("the detour is shorter")
		case distance(a, a+"x") != 1:
			t.Fatal("one edit is not one step")
		}
	})
}
