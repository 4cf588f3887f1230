package flowcontrol

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// trackerModel is what a Tracker should do, with a list and no cleverness.
type trackerModel struct {
	t *Tracker[int]

	tickets  []Ticket
	finished []bool
	messages []int64
	drained  int
	settled  int
	open     int64
	revoked  bool
}

func (m *trackerModel) Track(t *rapid.T) {
	n := rapid.Int64Range(1, 5).Draw(t, "messages")
	k, ok := m.t.Track(len(m.tickets), n)
	if ok == m.revoked {
		t.Fatalf("Track: %v, revoked %v", ok, m.revoked)
	}
	if !ok {
		return
	}
	m.tickets, m.finished, m.messages = append(m.tickets, k), append(m.finished, false), append(m.messages, n)
	m.open += n
}

func (m *trackerModel) Finish(t *rapid.T) {
	if len(m.tickets) == 0 {
		t.Skip()
	}
	i := rapid.IntRange(0, len(m.tickets)-1).Draw(t, "which")
	grew := m.t.Finish(m.tickets[i])
	if !m.revoked {
		m.finished[i] = true
	}
	before := m.settled
	for m.settled < len(m.finished) && m.finished[m.settled] {
		m.settled++
	}
	if want := m.settled > before && !m.revoked; grew != want {
		t.Fatalf("Finish(%d): %v, want %v", i, grew, want)
	}
}

func (m *trackerModel) Drain(t *rapid.T) {
	got := m.t.Drain(nil)
	var want []int
	if !m.revoked {
		for ; m.drained < m.settled; m.drained++ {
			want = append(want, m.drained)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("Drain: %v, want %v", got, want)
	}
	var messages int64
	for _, i := range got {
		messages += m.messages[i]
	}
	if n := m.t.Committed(messages); n != messages {
		t.Fatalf("Committed(%d): %d", messages, n)
	}
	m.open -= messages
}

func (m *trackerModel) Revoke(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
		t.Skip()
	}
	if got := m.t.Revoke(); got != m.open {
		t.Fatalf("Revoke: %d were open, want %d", got, m.open)
	}
	m.open, m.revoked = 0, true
	if m.t.Committed(1) != 0 {
		t.Fatal("a commit after Revoke counts")
	}
}

// Check is called after every action.
func (m *trackerModel) Check(t *rapid.T) {
	if m.t.Open() != m.open {
		t.Fatalf("Open: %d, want %d", m.t.Open(), m.open)
	}
}

func TestTrackerAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &trackerModel{t: new(Tracker[int])}
		t.Repeat(rapid.StateMachineActions(m))
	})
}

// FuzzTracker: whatever finishes in whatever order, what is drained is a prefix that has finished.
func FuzzTracker(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 2, 1, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var tr Tracker[int]
		var tickets []Ticket
		finished := map[int]bool{}
		drained := 0
		for _, op := range ops {
			switch {
			case op%4 == 0:
				k, _ := tr.Track(len(tickets), 1)
				tickets = append(tickets, k)
			case op%4 == 3:
				for _, i := range tr.Drain(nil) {
					if i != drained || !finished[i] {
						t.Fatalf("drained %d, want %d; finished: %v", i, drained, finished[i])
					}
					drained++
				}
			case len(tickets) > 0:
				i := int(op) % len(tickets)
				tr.Finish(tickets[i])
				finished[i] = true
			}
		}
	})
}
