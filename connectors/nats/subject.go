package nats

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// maxSubject bounds a subject. A server closes the connection for good at a protocol line of more
	// than 4096 bytes, in which two subjects stand.
	maxSubject = 1024
	// maxToken bounds the token made of one value. What is longer ends in a hash of the whole.
	maxToken = 200
	hexDigit = "0123456789ABCDEF"
)

// subjects makes the subjects of messages from a template. What the template takes from a message
// can add tokens to its literal text and change nothing else: never a wildcard, never a subject that
// means something to a server.
type subjects struct {
	template *connectors.Template
	constant []byte // the subject, where the template has no places
	source   bool   // it depends on nothing but where a message was read from
}

// defaultSubject is the template of a sink for which none is configured.
const defaultSubject = "{{ topic }}"

// newSubjects checks the literal parts of a template.
func newSubjects(t *connectors.Template) (*subjects, error) {
	if t == nil {
		var err error
		if t, err = connectors.ParseTemplate(defaultSubject); err != nil {
			return nil, err
		}
	}
	// Filled with a letter for every place, the subject shows what is wrong with the literal text.
	fill := func(dst []byte, _ string, _ []byte) []byte { return append(dst, 'x') }
	sample := t.Append(nil, &connectors.Batch{}, &connectors.Message{}, fill)
	if err := checkSubject(sample); err != nil {
		return nil, fmt.Errorf("subject %q: %w", t, err)
	}
	s := &subjects{template: t}
	if t.Constant() {
		s.constant = sample
	}
	s.source = !t.Names("key", "partition", "offset", connectors.PlaceExpression, connectors.PlaceDotted)
	return s, nil
}

// append appends the subject of m, which is of b. The error is Permanent: the message has no subject.
func (s *subjects) append(dst []byte, b *connectors.Batch, m *connectors.Message) ([]byte, error) {
	if s.constant != nil {
		return append(dst, s.constant...), nil
	}
	start := len(dst)
	dst = s.template.Append(dst, b, m, appendValue)
	if err := checkSubject(dst[start:]); err != nil {
		err = fmt.Errorf("subject %.200q made by %q: %w", dst[start:], s.template, err)
		return dst[:start], connectors.Permanent(err)
	}
	return dst, nil
}

// appendValue puts a value of a message into a subject. A topic or subject, and what an expression says dotted of,
// keeps its dots, that is, may be several tokens; everything else becomes exactly one.
func appendValue(dst []byte, name string, value []byte) []byte {
	if name != "topic" && name != "subject" && name != connectors.PlaceDotted {
		return appendToken(dst, value)
	}
	if plainSubject(value) {
		return append(dst, value...)
	}
	for i, token := range bytes.Split(value, []byte{'.'}) {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = appendToken(dst, token)
	}
	return dst
}

// appendToken appends value as one subject token: letters, digits, "-", "_" and "=" as they are, all
// else as %XX, nothing as "_". Different values make different tokens; a long one keeps its beginning
// and ends in "~" and a hash of the whole.
func appendToken(dst []byte, value []byte) []byte {
	if len(value) == 0 {
		return append(dst, '_')
	}
	if len(value) == 1 && value[0] == '_' {
		return append(dst, "%5F"...)
	}
	start := len(dst)
	for _, c := range value {
		if plainTokenByte(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hexDigit[c>>4], hexDigit[c&15])
		}
		if len(dst)-start > maxToken {
			sum := sha256.Sum256(value)
			const hashed = 16
			dst = append(dst[:start+maxToken-1-2*hashed], '~')
			return hex.AppendEncode(dst, sum[:hashed])
		}
	}
	return dst
}

func plainTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '='
}

// plainSubject tells whether a topic's name or a subject can stand in a subject as it is.
func plainSubject(value []byte) bool {
	last := byte('.')
	for _, c := range value {
		switch {
		case c == '.' && last == '.', c <= ' ', c >= 0x7f, c == '*', c == '>', c == '%', c == '~':
			return false
		}
		last = c
	}
	return last != '.'
}

// checkSubject tells what is wrong with a subject to publish to.
func checkSubject(subject []byte) error {
	if len(subject) > maxSubject {
		return fmt.Errorf("it has %d bytes, the limit is %d", len(subject), maxSubject)
	}
	first, rest, several := bytes.Cut(subject, []byte{'.'})
	switch string(first) {
	case "$JS", "$SYS", "_INBOX", "_R_", "$NRG", "$JSC":
		return fmt.Errorf("it begins with %q, which belongs to the server", first)
	}
	for token := first; ; {
		if len(token) == 0 {
			return fmt.Errorf("it has an empty token; begin, end and dots need something between them")
		}
		for _, c := range token {
			switch {
			case c <= ' ' || c == 0x7f:
				return fmt.Errorf("it has a blank or control character")
			case c == '*' || c == '>':
				return fmt.Errorf("it has the wildcard %q; a message is published to one subject", c)
			}
		}
		if !several {
			return nil
		}
		token, rest, several = bytes.Cut(rest, []byte{'.'})
	}
}

// captures tells whether a stream of these subjects stores a message published to subject.
func captures(filters []string, subject string) bool {
	for _, f := range filters {
		if matches(f, subject) {
			return true
		}
	}
	return false
}

// matches tells whether a subject matches a filter with the wildcards * and >.
func matches(filter, subject string) bool {
	for {
		f, frest, fmore := strings.Cut(filter, ".")
		s, srest, smore := strings.Cut(subject, ".")
		if f == ">" && !fmore {
			return true
		}
		if f != "*" && f != s {
			return false
		}
		if fmore != smore {
			return false
		}
		if !fmore {
			return true
		}
		filter, subject = frest, srest
	}
}
