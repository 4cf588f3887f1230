package failpoint

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// The environment of a process with fail points.
const (
	planEnv    = "SLUICE_FAILPOINT"         // such as write-done@3
	journalEnv = "SLUICE_FAILPOINT_JOURNAL" // the file to which passages are appended
)

// Passage is one line of the journal: who passed a point.
type Passage struct {
	Point  Point
	Killed bool    // the process ended here
	IDs    []int64 // of the load's messages, as their truth.IDHeader says
	Rest   []int64 // at WriteHalf: those that were not sent
}

// trap counts the passages of points, notes them, and kills the process at the planned one.
type trap struct {
	mu      sync.Mutex
	plan    Plan
	journal *os.File // nil: nobody wants to know
}

// newTrap reads the environment.
func newTrap(env func(string) string) (*trap, error) {
	plan, err := parsePlan(env(planEnv))
	if err != nil {
		return nil, err
	}
	t := &trap{plan: plan}
	if path := env(journalEnv); path != "" {
		t.journal, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	}
	return t, err
}

// due counts a passage of p and reports whether the process has to end at it.
func (t *trap) due(p Point) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.plan.Point != p {
		return false
	}
	t.plan.Passage--
	return t.plan.Passage == 0
}

// pass notes that the messages have passed p, and does not return if it is the planned passage.
func (t *trap) pass(p Point, ids []int64) {
	if t.due(p) {
		t.spring(Passage{Point: p, IDs: ids})
	}
	t.note(Passage{Point: p, IDs: ids})
}

// spring notes the last passage and ends the process, without deferred calls and last words.
func (t *trap) spring(p Passage) {
	p.Killed = true
	t.note(p)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

func (t *trap) note(p Passage) {
	if t.journal == nil {
		return
	}
	line, err := json.Marshal(p)
	if err == nil {
		_, err = t.journal.Write(append(line, '\n')) // one call, so that lines of two goroutines do not mix
	}
	if err != nil {
		panic(fmt.Sprintf("failpoint: journal: %v", err))
	}
}

// ReadJournal returns the passages that a process has noted.
func ReadJournal(path string) ([]Passage, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Passage
	for line := range strings.Lines(string(text)) {
		var p Passage
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			return nil, fmt.Errorf("%s: %w in %q", path, err, line)
		}
		all = append(all, p)
	}
	return all, nil
}

// idsOf returns the ids of the messages of batches, -1 where there is none.
func idsOf(batches ...*connectors.Batch) (ids []int64) {
	for _, b := range batches {
		for i := range b.Messages {
			ids = append(ids, idOf(&b.Messages[i]))
		}
	}
	return ids
}

func idOf(m *connectors.Message) int64 {
	for _, h := range m.Headers {
		if h.Key != truth.IDHeader {
			continue
		}
		_, number, _ := strings.Cut(string(h.Value), "/")
		if id, err := strconv.ParseInt(number, 10, 64); err == nil {
			return id
		}
	}
	return -1
}
