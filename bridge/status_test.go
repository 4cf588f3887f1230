package bridge

import "testing"

func TestJoin(t *testing.T) {
	for _, tc := range []struct{ source, sink, want string }{
		{"at least once: a", "at least once: b", "at least once: a; b"},
		{"at most once: a", "at least once: b", "at most once: a; at least once: b"},
		{"", "at least once: b", "at least once: b"},
		{"by partition", "of the key", "by partition; of the key"},
	} {
		if got := join(tc.source, tc.sink); got != tc.want {
			t.Errorf("join(%q, %q) = %q, want %q", tc.source, tc.sink, got, tc.want)
		}
	}
}
