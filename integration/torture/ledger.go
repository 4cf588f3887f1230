package main

import "sync"

// outcome is what the load knows of a message.
type outcome uint8

const (
	asked   outcome = iota // sent, or about to be
	stored                 // the source said that it has it
	unknown                // the source said nothing, or that it does not know
	aborted                // of a transaction that was given up
	outcomes
)

// ledger is what the load knows of its messages, by number. Any goroutine.
type ledger struct {
	mu    sync.Mutex
	known []outcome
}

// next returns the number of a message that does not exist yet.
func (l *ledger) next() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = append(l.known, asked)
	return int64(len(l.known) - 1)
}

func (l *ledger) note(n int64, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[n] = o
}

// counts returns how many messages have each outcome.
func (l *ledger) counts() (c [outcomes]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.known {
		c[o]++
	}
	return c
}
