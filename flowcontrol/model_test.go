package flowcontrol

import (
	"fmt"
	"testing"
)

// The model is Window's protocol cut into its atomic steps: one goroutine that admits and parks, some
// that release and nudge, one that resizes, and cancellations at any moment. It is explored
// exhaustively: every order of steps for every script of message sizes. It uses the window's own
// arithmetic (pack, room).

// faults are seeded one at a time, to see that the model notices each.
type faults struct {
	checkBeforePark  bool // the word is read once, before the bit is set, and not again
	oldWord          bool // Release looks for the bit in the word before its subtraction
	noBuffer         bool // a nudge that nobody waits for is lost
	unparkOnWake     bool // the bit is cleared at each wake and not set again
	cancelKeepsBit   bool // a cancelled Wait leaves the bit set
	noRecheck        bool // a wake is taken for room
	noAlone          bool // an oversize message is admitted beside others
	nudgeFirst       bool // Release nudges before it subtracts
	resizeQuiet      bool // Resize wakes nobody
	resizeLooksFirst bool // Resize looks for the bit before it stores the limit
	ignoresResize    bool // the hard bound is what counts
}

// The admitting goroutine's places.
const (
	atFree = iota
	atPark
	atLate // only with checkBeforePark
	atCheck
	atBlock // on the way into the select
	atSelect
	atUnpark
	atAdd
	atEnd
)

const maxReleasers = 3

// modelState is one state of all goroutines together. It is comparable, for the set of those seen.
type modelState struct {
	word    uint64
	token   bool
	pc      int
	item    int   // the one to be admitted next
	need    int64 // as the bridge's: the size that did not fit
	opened  bool  // Wait has returned for room, not for a cancellation
	inside  uint8 // items in flight
	cancels int   // cancellations that are still to come
	nudging [maxReleasers]int8
	holding [maxReleasers]int8 // the item that is still to be subtracted, plus one

	resized  int8 // how many of the resizes are stored
	granted  int8 // the same when the admitter has read the limit
	resizing int8
	over     bool // more was admitted than the limit that was read
}

type model struct {
	limits    []Cost // the hard one, then those that Resize brings
	sizes     []int64
	releasers int
	faults    faults
	seen      map[modelState]bool
}

// explore returns the number of states and the first violation.
func (m *model) explore(cancels int) (states int, err error) {
	m.seen = map[modelState]bool{}
	stack := []modelState{{cancels: cancels}}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if m.seen[s] {
			continue
		}
		m.seen[s] = true
		if err := m.check(s); err != nil {
			return len(m.seen), err
		}
		next := m.steps(s)
		if len(next) == 0 && (s.pc != atEnd || s.inside != 0) {
			return len(m.seen), fmt.Errorf("deadlock in %+v", s)
		}
		stack = append(stack, next...)
	}
	return len(m.seen), nil
}

// check holds in every state.
func (m *model) check(s modelState) error {
	var used Cost
	for i, size := range m.sizes {
		if s.inside&(1<<i) != 0 {
			used.Messages++
			used.Bytes += size
		}
	}
	if used.Messages > m.limits[0].Messages || used.Bytes > m.limits[0].Bytes && used.Messages > 1 {
		return fmt.Errorf("bound: %+v is in flight in %+v", used, s)
	}
	if s.over {
		return fmt.Errorf("bound: more than %+v was admitted in %+v", m.limits[s.granted], s)
	}
	nudging := s.resizing != notResizing
	for i := range m.releasers {
		nudging = nudging || s.nudging[i] != 0 || s.holding[i] != 0
	}
	_, cause := room(s.word&^parked, pack(m.limits[s.resized]), s.need, 4)
	if s.pc == atSelect && cause == CauseNone && !s.token && !nudging {
		return fmt.Errorf("lost wake-up: asleep beside room in %+v", s)
	}
	if s.pc == atEnd && s.inside == 0 && !nudging && s.word != 0 {
		return fmt.Errorf("not zero at the end: %#x", s.word)
	}
	return nil
}

// steps returns every state that one step of one goroutine leads to.
func (m *model) steps(s modelState) (next []modelState) {
	next = m.admitter(s, next)
	for r := range m.releasers {
		next = m.releaser(s, r, next)
	}
	return m.resizer(s, next)
}

// admitter is the bridge's loop: Free, then Wait while that names a cause, else Add what fits.
func (m *model) admitter(s modelState, next []modelState) []modelState {
	switch s.pc {
	case atFree:
		free, cause := room(s.word, m.limitOf(s), s.need, 16)
		s.granted = s.resized
		size := m.sizes[s.item]
		alone := s.word&^parked == 0
		switch {
		case cause != CauseNone:
			s.pc = atPark
		case alone || free.Bytes >= size || m.faults.noAlone:
			s.pc = atAdd
		default:
			s.need = size // NoRoomError
		}
	case atPark:
		if _, cause := room(s.word, m.limitOf(s), s.need, 4); m.faults.checkBeforePark && cause != CauseNone {
			s.pc = atLate
			break
		}
		s.word |= parked
		s.pc = atCheck
	case atLate:
		s.word |= parked
		s.pc = atSelect
	case atCheck:
		if _, cause := room(s.word, m.limitOf(s), s.need, 4); cause == CauseNone {
			s.pc, s.opened = atUnpark, true
		} else {
			s.pc = atBlock
		}
	case atBlock:
		s.pc = atSelect
	case atSelect:
		return m.selects(s, next)
	case atUnpark:
		if !m.faults.cancelKeepsBit || s.opened {
			s.word &^= parked
		}
		s.pc, s.opened = atFree, false
	case atAdd:
		used, size := unpack(s.word), m.sizes[s.item]
		limit := m.limits[s.granted]
		s.over = used != Cost{} && (used.Messages+1 > limit.Messages || used.Bytes+size > limit.Bytes)
		s.word += pack(Cost{1, size})
		s.inside |= 1 << s.item
		s.item++
		s.need, s.pc = 0, atFree
		if s.item == len(m.sizes) {
			s.pc = atEnd
		}
	case atEnd:
		return next
	}
	return append(next, s)
}

// selects is the select in Wait: the token, or the context's end.
func (m *model) selects(s modelState, next []modelState) []modelState {
	if s.token {
		woken := s
		woken.token = false
		woken.pc = atCheck
		if m.faults.unparkOnWake {
			woken.word &^= parked
		}
		if m.faults.noRecheck {
			woken.word &^= parked
			woken.pc = atAdd // what a caller does that trusts Wait
		}
		next = append(next, woken)
	}
	if s.cancels > 0 {
		s.cancels--
		s.pc = atUnpark
		next = append(next, s)
	}
	return next
}

// releaser takes any item in flight, subtracts it, and nudges if it saw the bit.
func (m *model) releaser(s modelState, r int, next []modelState) []modelState {
	switch {
	case s.nudging[r] != 0 && (s.holding[r] == 0 || m.faults.nudgeFirst):
		if !m.faults.noBuffer || s.pc == atSelect {
			s.token = true
		}
		s.nudging[r] = 0
		return append(next, s)
	case s.holding[r] != 0:
		s.word -= pack(Cost{1, m.sizes[s.holding[r]-1]})
		s.holding[r] = 0
		return append(next, s)
	}
	for i, size := range m.sizes {
		if s.inside&(1<<i) == 0 {
			continue
		}
		n := s
		n.inside &^= 1 << i
		before := n.word
		switch {
		case m.faults.nudgeFirst || m.faults.oldWord:
			// The look at the bit is a step of its own, before the subtraction.
			n.holding[r] = int8(i + 1)
			if before&parked != 0 {
				n.nudging[r] = 1
			}
		default:
			n.word -= pack(Cost{1, size})
			if n.word&parked != 0 {
				n.nudging[r] = 1
			}
		}
		next = append(next, n)
	}
	return next
}

// The resizer's places.
const (
	notResizing   = iota
	resizeLook    // the limit is stored, the bit is not looked for yet
	resizeNudge   // the bit was seen
	resizeStore   // only with resizeLooksFirst: the bit was looked for and not seen
	resizeStoreIt // only with resizeLooksFirst: it was seen
)

// resizer stores the next limit, looks at the word, and nudges if it saw the bit.
func (m *model) resizer(s modelState, next []modelState) []modelState {
	seen := s.word&parked != 0
	switch s.resizing {
	case notResizing:
		switch {
		case int(s.resized) == len(m.limits)-1:
			return next
		case m.faults.resizeLooksFirst && seen:
			s.resizing = resizeStoreIt
		case m.faults.resizeLooksFirst:
			s.resizing = resizeStore
		default:
			s.resized++
			s.resizing = resizeLook
		}
	case resizeStore:
		s.resized++
		s.resizing = notResizing
	case resizeStoreIt:
		s.resized++
		s.resizing = resizeNudge
	case resizeLook:
		s.resizing = notResizing
		if seen && !m.faults.resizeQuiet {
			s.resizing = resizeNudge
		}
	case resizeNudge:
		s.resizing = notResizing
		if !m.faults.noBuffer || s.pc == atSelect {
			s.token = true
		}
	}
	return append(next, s)
}

// limitOf is what the admitting goroutine takes for the limit.
func (m *model) limitOf(s modelState) uint64 {
	if m.faults.ignoresResize {
		return pack(m.limits[0])
	}
	return pack(m.limits[s.resized])
}

// scripts returns every list of n sizes out of sizes.
func scripts(sizes []int64, n int) (all [][]int64) {
	if n == 0 {
		return [][]int64{nil}
	}
	for _, rest := range scripts(sizes, n-1) {
		for _, s := range sizes {
			all = append(all, append([]int64{s}, rest...))
		}
	}
	return all
}

// needsNoRaceDetector skips a test of one goroutine, of which the race detector sees nothing and makes
// minutes: it goes with -short.
func needsNoRaceDetector(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("one goroutine walks the states")
	}
}

// exploreAll runs the model for all limits, scripts and numbers of cancellations.
func exploreAll(f faults) (states int, err error) {
	for _, hard := range []Cost{{1, 4}, {2, 4}, {3, 4}, {8, 3}, {3, 64}} {
		sizes := []int64{1, 3, 5} // small, large, oversize
		if hard.Bytes == 64 {
			sizes = []int64{20, 61, 65}
		}
		for _, limits := range [][]Cost{{hard}, {hard, {1, hard.Bytes}, hard}, {hard, {hard.Messages, 1}, hard}} {
			items, cancels := 4, 2
			if len(limits) > 1 { // each resize multiplies the states
				items, cancels = 3, 1
			}
			for _, script := range scripts(sizes, items) {
				for c := range cancels + 1 {
					m := &model{limits: limits, sizes: script, releasers: maxReleasers, faults: f}
					n, err := m.explore(c)
					states += n
					if err != nil {
						return states, fmt.Errorf("limits %+v, sizes %v, %d cancellations: %w", limits, script, c, err)
					}
				}
			}
		}
	}
	return states, nil
}

func TestModel(t *testing.T) {
	needsNoRaceDetector(t)
	t.Parallel()
	states, err := exploreAll(faults{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d states", states)
}

func TestModelNoticesFaults(t *testing.T) {
	needsNoRaceDetector(t)
	for name, f := range map[string]faults{
		"check before park":           {checkBeforePark: true},
		"release reads the old word":  {oldWord: true},
		"nudge before the release":    {nudgeFirst: true},
		"a nudge is not kept":         {noBuffer: true},
		"the bit is cleared on wake":  {unparkOnWake: true},
		"cancelled and still parked":  {cancelKeepsBit: true},
		"a wake is taken for room":    {noRecheck: true},
		"oversize beside what is out": {noAlone: true},
		"resize wakes nobody":         {resizeQuiet: true},
		"resize looks too early":      {resizeLooksFirst: true},
		"resize is not heeded":        {ignoresResize: true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exploreAll(f); err == nil {
				t.Error("the model did not notice")
			} else {
				t.Log(err)
			}
		})
	}
}
