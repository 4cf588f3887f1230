package connectors

// Secret is a text that prints as stars.
type Secret string

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
