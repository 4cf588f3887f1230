package connectors

import "time"

// UntilTick returns how long it is until the clock next shows a whole multiple of every, at most every. What
// is done now and then waits for that: then all that a process of many routes does now and then wakes it once,
// where each at its own time would wake it for each.
func UntilTick(every time.Duration) time.Duration {
	return every - time.Duration(time.Now().UnixNano())%every
}
