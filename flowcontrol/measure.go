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

	// Of the same without silences: messages of the present window, the sum of their residence, and the mean
	// of the window before.
	part, partSum, partMean float64
}

func (m *measure) mean() float64 { return m.sum / m.messages }

// deviation is the relative standard error of the mean. A sample counts as one observation, however many
// messages it has: what is acknowledged together is not independent. Nor is what waited in one queue: the
// error is at least what spread, the variance from one window of messages to the next, makes of it.
func (m *measure) deviation(spread float64) float64 {
	mean := m.mean()
	variance := math.Max(0, m.squares/m.messages-mean*mean)
	return math.Max(math.Sqrt(variance*m.weights)/m.messages/mean, math.Sqrt(spread*m.limit/m.messages))
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
	m.part += messages
	m.partSum += messages * residence
	if pressed {
		m.pressed += messages
	}
}

// differs returns, once a window of messages is complete, how much the logarithm of their mean residence
// differs from that of the window before.
func (m *measure) differs() (difference float64, ok bool) {
	if m.part < m.limit {
		return 0, false
	}
	mean, before := m.partSum/m.part, m.partMean
	m.part, m.partSum, m.partMean = 0, 0, mean
	return math.Log(mean / before), before > 0
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
