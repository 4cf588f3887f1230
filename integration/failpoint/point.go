package failpoint

import (
	"fmt"
	"strconv"
	"strings"
)

// Point is a place on a message's way. The process ends there as by kill -9.
type Point string

// The points, in the order of the way. The first column is the step's letter in the reliability notes.
const (
	Fetched      Point = "fetched"      // L1: Fetch has its batch, and the bridge does not have it yet
	WriteBegun   Point = "write-begun"  // L2: Write was called, nothing is sent
	WriteHalf    Point = "write-half"   // L3: the first half of a Write is acknowledged, the rest was never sent
	WriteDone    Point = "write-done"   // L3: a Write is acknowledged, and the bridge does not know
	Acknowledged Point = "acknowledged" // L4: the bridge knows that the last message of a batch is acknowledged
	CommitBegun  Point = "commit-begun" // L4: Commit was called, nothing is sent
	CommitDone   Point = "commit-done"  // L5: upstream has the commit, and the bridge does not know
)

// Points returns all points.
func Points() []Point {
	return []Point{Fetched, WriteBegun, WriteHalf, WriteDone, Acknowledged, CommitBegun, CommitDone}
}

// Plan is the n-th passage of a point, at which the process ends. The zero value: nowhere.
type Plan struct {
	Point   Point
	Passage int
}

func (p Plan) String() string {
	if p.Point == "" {
		return ""
	}
	return string(p.Point) + "@" + strconv.Itoa(p.Passage)
}

// parsePlan reads what String writes.
func parsePlan(text string) (Plan, error) {
	if text == "" {
		return Plan{}, nil
	}
	name, number, _ := strings.Cut(text, "@")
	for _, p := range Points() {
		if n, err := strconv.Atoi(number); string(p) == name && err == nil && n > 0 {
			return Plan{p, n}, nil
		}
	}
	return Plan{}, fmt.Errorf("fail point %q: want one of %v, and the passage, such as %s@1", text, Points(), WriteDone)
}
