package connectors

import (
	"fmt"
	"time"
)

// mostSkew is how far two clocks that are kept by NTP may be apart, and one of them be read late.
const mostSkew = 2 * time.Second

// Clock compares the time that a broker told with ours when it was asked and when it had answered: outside of the
// two it is another one.
func Clock(whose string, told, asked, answered time.Time) []Finding {
	asked, answered = asked.Round(0), answered.Round(0) // by the wall clock
	skew, word := asked.Sub(told), "behind"
	if told.After(answered) {
		skew, word = told.Sub(answered), "ahead of"
	}
	if skew <= mostSkew {
		return Found(Fine, "", "the clock of %s agrees with this machine's", whose)
	}
	return []Finding{{
		Level: Warning, Way: "timedatectl set-ntp true, on the machine whose clock is wrong (chronyc tracking says which)",
		Text: fmt.Sprintf("the clock of %s is %v %s this machine's: ages, times to loss, stale and a start that is a time are wrong by as much",
			whose, skew.Round(100*time.Millisecond), word),
	}}
}
