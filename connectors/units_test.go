package connectors

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"64MiB": 64 << 20, "64MB": 64e6, "1.5KiB": 1536, "0B": 0, "7 GiB": 7 << 30} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q = %d, %v; want %d", text, s, err, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q does not survive: %q", text, s)
		}
	}
	for _, text := range []string{"64", "", "MiB", "-1MiB", "64 parsecs", "NaNMiB", "1e300GiB", "64mb"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestDuration(t *testing.T) {
	var d Duration
	if err := d.UnmarshalText([]byte("250ms")); err != nil || time.Duration(d) != 250*time.Millisecond {
		t.Errorf("250ms = %v, %v", d, err)
	}
	for _, text := range []string{"250", "", "-1s", "5 minutes"} {
		if err := new(Duration).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestSecretIsNotShown(t *testing.T) {
	s := struct{ Password Secret }{"hunter2"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, s); strings.Contains(text, "hunter2") {
			t.Errorf("%s shows it: %s", verb, text)
		}
	}
	if text, err := json.Marshal(s); err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("JSON shows it: %s, %v", text, err)
	}
}
