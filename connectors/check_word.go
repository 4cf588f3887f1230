package connectors

import (
	"fmt"
	"regexp"
	"strings"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// ShellWord returns s as one word of a command line that people copy: names come from files and brokers, and may
// hold anything.
func ShellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CommandLine is fmt.Sprintf with each text among args as one word.
func CommandLine(format string, args ...any) string {
	words := make([]any, len(args))
	for i, a := range args {
		words[i] = a
		if s, ok := a.(string); ok {
			words[i] = ShellWord(s)
		}
	}
	return fmt.Sprintf(format, words...)
}
