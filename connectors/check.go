package connectors

import (
	"context"
	"fmt"
)

// Examination is how an end of a route is looked at from outside the route, by the operator who asks why it
// would not move ("sluice doctor"). It begins to connect when it is made, and is closed. One caller.
type Examination struct {
	Checks []Check
	// Largest tells the largest message that a source may bring or a sink takes, once the checks have been
	// asked; ok is false where it is not known. Nil: it never is.
	Largest func() (l Limit, ok bool)
	Close   func(ctx context.Context)
}

// Check is one question. The checks of an end are asked in their order. None writes to the broker, joins a
// group, or changes who reads what: a daemon may run meanwhile.
type Check struct {
	Code  string // what is asked: the kind of broker and a word, such as kafka.advertised. It lasts: runbooks name it
	About string // of what, such as "topic orders of kafka localhost:9092"
	// Connection says that it is about the connection alone, not about what the end wants of it: where another end
	// has the same check, by Code and About, it is asked once for both, on the connection of the first, unless the
	// configuration gives the two connections names of their own.
	Connection bool
	// After are the codes of earlier checks of the same end: where one of them has failed or was skipped, this
	// one is skipped.
	After []string
	// Ask asks until ctx ends and says what it found, in the order of weight; nothing: all is well.
	Ask func(ctx context.Context) []Finding
}

// Level is how bad a finding is.
type Level uint8

// The levels.
const (
	Fine    Level = iota // how it is; a Way says how it could be better
	Warning              // it works, and will not always, or not well
	Failed               // the route does not move with it
)

// Finding is what a check found.
type Finding struct {
	Level Level
	Text  string
	Way   string // the command to type, or else what to change where
}

// Found returns a finding as what Check.Ask returns.
func Found(level Level, way, format string, args ...any) []Finding {
	return []Finding{{Level: level, Way: way, Text: fmt.Sprintf(format, args...)}}
}

// Limit is a bound on the size of messages.
type Limit struct {
	Bytes  int64
	Name   string // such as "max.message.bytes of topic orders"
	Change func(bytes int64) (way string)
}
