package kafka

import (
	"fmt"
	"strconv"
	"time"
)

// Start is where a source begins where its group has no position: earliest (the zero value), latest, a
// time, so long ago, or an offset (the same in every partition).
type Start struct {
	Kind   StartKind
	Time   time.Time     // StartTime
	Ago    time.Duration // StartAgo
	Offset int64         // StartOffset
}

// StartKind is which kind of start it is.
type StartKind uint8

// The kinds of start.
const (
	StartEarliest StartKind = iota
	StartLatest
	StartTime
	StartAgo
	StartOffset
)

// UnmarshalText reads a start.
func (s *Start) UnmarshalText(text []byte) error {
	t := string(text)
	switch t {
	case "earliest":
		*s = Start{}
		return nil
	case "latest":
		*s = Start{Kind: StartLatest}
		return nil
	}
	if n, err := strconv.ParseInt(t, 10, 64); err == nil && n >= 0 {
		*s = Start{Kind: StartOffset, Offset: n}
		return nil
	}
	if d, err := time.ParseDuration(t); err == nil && d >= 0 {
		*s = Start{Kind: StartAgo, Ago: d}
		return nil
	}
	if at, err := time.Parse(time.RFC3339, t); err == nil {
		*s = Start{Kind: StartTime, Time: at}
		return nil
	}
	return fmt.Errorf("%q: want earliest, latest, a time such as 2026-01-31T08:00:00Z, so long ago such as 24h, or an offset", t)
}

func (s Start) String() string {
	switch s.Kind {
	case StartLatest:
		return "latest"
	case StartTime:
		return s.Time.Format(time.RFC3339)
	case StartAgo:
		return s.Ago.String()
	case StartOffset:
		return strconv.FormatInt(s.Offset, 10)
	default:
		return "earliest"
	}
}

// MarshalText is the inverse of UnmarshalText.
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
