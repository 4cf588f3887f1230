package config

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// minSecret is how long a value is that is hidden wherever it stands. A shorter one would be found in
// innocent words; it is masked where its key shows.
const minSecret = 4

var (
	secretWords = regexp.MustCompile(`password|passwd|token|secret|seed|credential|authorization|api[-_]?key`)
	// secretValue finds a secret by its key in a line: in quotes, or up to what ends it.
	secretValue = regexp.MustCompile(`(?i)((?:password|passwd|token|secret|seed)["']?\s*:\s*)("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,}#]+)`)
	// secretRest does so in a line that is not known to be YAML, where anything may belong to it.
	secretRest = regexp.MustCompile(`(?i)((?:password|passwd|token|secret|seed)["']?\s*:\s*).+`)
	// secretInURL finds who logs in by a URL: a name with a password, or a token.
	secretInURL = regexp.MustCompile(`://(?:([^\s:@/"']*:)[^\s"']+|[^\s:@/"']+)@`)
	// secretInAddress does so in a list of addresses without a scheme. A token is known by the port behind it.
	secretInAddress = regexp.MustCompile(`(^|[\s,"'\[])(?:([^\s:@/"',\[]*:)(?:[^\s/"',]|/[^\s/"',])[^\s"',]*@|[^\s:@/"',\[]+@([^\s:@/"',]+:\d))`)
	seedOfKey       = regexp.MustCompile(`\bS[A-Z][A-Z2-7]{56}\b`) // an NKEY, also where its file should be named
	parameter       = regexp.MustCompile(`([?&]([^\s=&#"']+)=)[^\s&#"']+`)
	defaultWord     = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*:-([^}]*)\}`)
)

// secretKey reports whether what stands under a key is nobody's business, also where the key is misspelt.
func secretKey(name string) bool {
	name = strings.ToLower(name)
	return secretWords.MatchString(name) || distance(name, "password") <= 2 || distance(name, "secret") <= 1 || distance(name, "token") <= 1
}

// secrets collects what no finding may show: findings are pasted into tickets and stand in logs.
type secrets struct{ values []string }

func (s *secrets) add(value string) {
	if value = strings.TrimSpace(value); len(value) >= minSecret && !slices.Contains(s.values, value) {
		s.values = append(s.values, value)
	}
}

// addAll adds every value at and below n.
func (s *secrets) addAll(n *yaml.Node) {
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode {
		s.add(n.Value)
	}
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			s.addAll(child)
		}
	}
}

// keepSecret adds what is secret in what stands under a key.
func (s *secrets) keepSecret(key string, n *yaml.Node) {
	switch {
	case secretKey(key):
		s.addAll(n)
	case key == "telemetry":
		_, headers := find(n, "headers")
		s.addAll(headers)
	}
}

// addText adds what a value holds in secrets wherever it stands: who logs in by a URL, the parameters of
// one, and the default of a placeholder whose key is secret.
func (s *secrets) addText(key, value string) {
	if secretKey(key) {
		for _, m := range defaultWord.FindAllStringSubmatch(value, -1) {
			s.add(m[1])
		}
	}
	_, rest, isURL := strings.Cut(value, "://")
	if !isURL {
		return
	}
	// A password may hold what ends an authority, and be no less a password.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, found := strings.Cut(rest[:at], ":")
		s.add(cmp.Or(password, map[bool]string{false: user}[found])) // a name alone is a token
	}
	if _, query, found := strings.Cut(rest, "?"); found {
		values, _ := url.ParseQuery(query) // what cannot be read of it is refused elsewhere
		for name, all := range values {
			if secretKey(name) {
				for _, v := range all {
					s.add(v)
				}
			}
		}
	}
}

// hide replaces every secret in text.
func (s *secrets) hide(text string) string {
	for _, v := range s.values {
		text = strings.ReplaceAll(text, v, "***")
	}
	return text
}

// hideInURLs replaces who logs in by a URL or an address, the secret parameters of a URL, and the seed of a key.
func hideInURLs(text string) string {
	text = seedOfKey.ReplaceAllString(text, "***")
	text = secretInURL.ReplaceAllString(text, "://$1***@")
	text = secretInAddress.ReplaceAllString(text, "$1$2***@$3")
	return parameter.ReplaceAllStringFunc(text, func(s string) string {
		m := parameter.FindStringSubmatch(s)
		if !secretKey(m[2]) {
			return s
		}
		return m[1] + "***"
	})
}

// mask hides the secrets of a line that are recognized by their key. parsed says that the line is of a
// file that is YAML, whose values are known.
func mask(line string, parsed bool) string {
	line = hideInURLs(line)
	if !parsed {
		return secretRest.ReplaceAllString(line, "$1***")
	}
	return secretValue.ReplaceAllStringFunc(line, func(s string) string {
		m := secretValue.FindStringSubmatch(s)
		if strings.Contains(m[2], "${") && !strings.Contains(m[2], ":-") {
			return s // a placeholder is not the secret
		}
		return m[1] + "***"
	})
}
