package connectors

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	s := SecretFile(path)
	if _, err := s.Reveal(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, tc := range [][2]string{{"one\n", "one"}, {"two\r\n", "two"}, {" three \n\n", " three \n"}, {"", ""}} {
		if err := os.WriteFile(path, []byte(tc[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Reveal(); err != nil || got != tc[1] {
			t.Errorf("%q, %v; want %q", got, err, tc[1])
		}
	}
	if err := os.WriteFile(path, make([]byte, maxSecret+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reveal(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("too long: %v", err)
	}
	if got, err := Secret("plain").Reveal(); err != nil || got != "plain" {
		t.Errorf("%q, %v", got, err)
	}
}
