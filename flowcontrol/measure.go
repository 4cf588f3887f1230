package flowcontrol

import "math"

// measure is what one limit does to the time that messages are in flight: their residence. Times are
// in seconds.
type measure struct {
	limit float64

	// What was in flight under another limit, or during a silence, is not counted.
	skipFor, skipped float64
	skipUntil        float64

	messages, pressed float64
	samples           int
	sum, squares      float64 // of the residence, by message
	weights           float64 // of the squares of the samples' messages
	took              float64
	last              float64 // when the last sample came

	cycle, gap float64 // messages of the present window, and the longest gap among them
}

func (m *measure) mean() float64 { return m.sum / m.messages }

// deviation is the relative standard error of the mean. A sample counts as one observation, however many
// messages it has: what is acknowledged together is not independent.
func (m *measure) deviation() float64 {
	mean := m.mean()
	variance := math.Max(0, m.squares/m.messages-mean*mean)
	return math.Sqrt(variance*m.weights) / m.messages / mean
}

func (m *measure) rate() float64 { return m.messages / m.took }

// skip discards what comes until so many messages and so much time have passed.
func (m *measure) skip(now, messages, time float64) {
	m.skipFor, m.skipped, m.skipUntil = messages, 0, now+time
}

// skips takes a sample in if it is to be discarded and reports whether it was.
func (m *measure) skips(now, messages float64) bool {
	if m.skipFor == 0 {
		return false
	}
	if m.skipped += messages; m.skipped >= m.skipFor && now >= m.skipUntil {
		m.skipFor = 0
	}
	return true
}

func (m *measure) add(gap, messages, residence float64, pressed bool) {
	m.took += gap
	m.samples++
	m.messages += messages
	m.sum += messages * residence
	m.squares += messages * residence * residence
	m.weights += messages * messages
	if pressed {
		m.pressed += messages
	}
}

// join takes in another measure of the same limit.
func (m *measure) join(o *measure) {
	m.limit = o.limit
	m.took += o.took
	m.samples += o.samples
	m.messages += o.messages
	m.sum += o.sum
	m.squares += o.squares
	m.weights += o.weights
}
