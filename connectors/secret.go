package connectors

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Secret is a text that prints as stars. A connector asks for it by Reveal each time it connects, and
// neither keeps a copy nor converts it to a string: one that stands in a file is not its text, which may
// have been changed there meanwhile.
type Secret string

// secretFile introduces the path of a secret that stands in a file. A configuration cannot hold it but
// by an escape.
const secretFile Secret = "\x00file:"

const maxSecret = 64 << 10

// SecretFile returns the secret that a file holds, without its last line break.
func SecretFile(path string) Secret { return secretFile + Secret(path) }

// Reveal returns the text itself. One that stands in a file is read now; that is the only error.
func (s Secret) Reveal() (string, error) {
	path, inFile := strings.CutPrefix(string(s), string(secretFile))
	if !inFile {
		return string(s), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSecret:
		return "", fmt.Errorf("%s is longer than %d bytes", path, maxSecret)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString keeps %#v from showing it.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps a printed configuration from showing it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
