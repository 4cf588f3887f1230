package kafka

import (
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// Lag implements connectors.Lagger.
func (s *source) Lag() (messages int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		if !f.located || f.end < 0 {
			return 0, false
		}
		messages += max(0, f.end-f.next)
	}
	return messages, len(s.feeds) > 0
}

// Describe implements connectors.Describer.
func (s *source) Describe() connectors.Facts { return *s.facts.Load() }

// describe renews what Describe returns.
func (s *source) describe(brokers int, backlog string) {
	f := sourceFacts(&s.cfg)
	f.Memory, f.MemoryFor = fetchMemory(brokers, s.cfg.FetchMaxBytes)
	f.Backlog = backlog
	s.facts.Store(&f)
}

// sourceFacts is what is known before any broker was asked; each configured address is taken for one.
func sourceFacts(c *SourceConfig) connectors.Facts {
	f := connectors.Facts{
		Guarantee: "at least once: the group's position follows what the sink has acknowledged",
		Order:     "by partition",
		Touches:   []string{"group " + c.Group},
	}
	f.Memory, f.MemoryFor = fetchMemory(max(1, len(c.Brokers)), c.FetchMaxBytes)
	return f
}

// fetchMemory is what may be held beyond the window: one answer a broker.
func fetchMemory(brokers int, size connectors.Size) (int64, string) {
	word := "brokers"
	if brokers == 1 {
		word = "broker"
	}
	return int64(brokers) * int64(size), fmt.Sprintf("%d %s x %v fetch", brokers, word, size)
}

// backlog is what a first start is about to move.
type backlog struct {
	partitions int
	messages   int64
	oldest     time.Time // zero until the first message was read
	first      bool      // some partition had no position
}

// add counts a partition; fresh says that the group had no position in it.
func (b *backlog) add(f *feed, fresh bool) {
	if !fresh {
		return
	}
	b.first = true
	b.partitions++
	b.messages += max(0, f.end-f.next)
}

// age takes in the time of a message and reports whether it is the oldest so far.
func (b *backlog) age(t time.Time) bool {
	if !b.first || t.IsZero() || !b.oldest.IsZero() && !t.Before(b.oldest) {
		return false
	}
	b.oldest = t
	return true
}

func (b *backlog) String() string {
	if !b.first {
		return ""
	}
	text := fmt.Sprintf("%d partitions, %d messages", b.partitions, b.messages)
	if age := time.Since(b.oldest); !b.oldest.IsZero() && b.messages > 0 {
		text += ", oldest " + roughly(age)
	}
	return text
}

// roughly writes a duration in its largest unit.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", max(0, d)/time.Second)
}
