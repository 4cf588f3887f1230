package flowcontrol

import "math"

// knee searches the least limit that keeps a sink busy. In a closed loop limit = rate x residence (Little),
// so the elasticity e of the rate, dln(rate)/dln(limit) = 1 - dln(residence)/dln(limit), is 1 as long as a
// larger limit brings as much more, and 0 once the sink is busy. It is measured between the limit that is
// kept, the base, and a probe above it, so that probing costs no throughput. A mean residence tells more
// than a count in a time: acknowledgements come in bursts.
//
// The limit is where e is as large as a price that rises with the delay which the limit has brought. For a
// sink that is either idle or busy any price does; one that gets better ever more slowly, such as a lane
// that waits for each Write over a distance, is bought as much of as the delay is worth; and of several
// that share a sink, each of which sees e > 0 however much is in flight, the price is what stops them.
type knee struct {
	most  float64 // the largest limit
	limit float64 // what holds now: base or probe

	base    float64
	probing bool
	now     measure
	kept    measure // of the base, as long as it stands
	dwell   int     // measures of the base to come before the next probe

	elasticity, doubt float64 // estimate of e, and its variance
	move, noise       float64 // the last step in ln(limit); the relative error of the last pair
	pace              float64 // the larger, the longer the base has risen
	before            float64 // the limit before the present one
	mean, at          float64 // residence last measured, and the limit then
	gap               float64 // the usual longest gap between acknowledgements within a window of messages
	spread            float64 // variance of the logarithm of a window's mean residence
	silences          int     // since the last measure was finished
	least, leastAt    float64 // the least residence of a base, and when it was measured
	cut               float64 // when the sink asked for less
	ceiling           float64 // above what it has not asked for less lately
}

const (
	firstLimit = 2 // low, for what is too much for a slow sink takes long to be acknowledged
	leastLimit = 3
	// leastTime is how much of the rate is always allowed to be in flight: what clocks and schedulers blur.
	leastTime = 0.002

	probeRatio  = 1.5
	growRatio   = 2   // while e is near 1
	noisyRatio  = 2.2 // at most, where a pair tells little: the wider, the clearer
	noisyFactor = 8
	downRatio   = 1 / 1.25 // where there is no more: the probe is below

	leastPrice = 0.045
	mostPrice  = 0.8
	// A delay of softPrice/softSlope seconds is worth an elasticity of softPrice: enough to leave a sink that gets
	// better slowly above 85 %.
	softPrice = 0.15
	softSlope = 2.5
	// priceDelay, or priceFactor times the least residence, is the delay that is not worth a half: a distance
	// makes delay cheap.
	priceDelay  = 0.32
	priceFactor = 3

	gainUp, gainDown = 1, 3 // of the step, by e - price
	mostPace         = 4
	mostUp, mostDown = 0.5, 0.25
	moving           = 0.05 // a step from which on the base has not settled
	drift            = 0.02 // by which e may have changed since the last pair
	unknown          = 0.25 // variance of e before anything is known of it
	enoughDoubt      = 0.01 // of which a step is half as long

	enoughError   = 0.015 // of a mean
	enoughWindows = 2
	enoughSamples = 8
	enoughTime    = 0.5
	growing       = 0.6 // elasticity from which on the limit is far too low and precision a waste of time

	throttleCut  = 0.7
	throttleFor  = 10  // seconds that nothing near what was throttled is tried again
	throttleNear = 0.9 // of it
	forgetAfter  = 600

	usualSilences = 5 // more than this within one measure are none
)

func newKnee(most float64) knee {
	k := knee{most: most, base: math.Min(firstLimit, most), elasticity: 1, doubt: unknown, pace: 1, spread: 0.02, least: math.Inf(1), ceiling: most}
	k.limit, k.before = k.base, k.base
	return k
}

// sample takes in that so many messages were acknowledged at once, which were in flight for residence on
// average. pressed: more would have been in flight if the limit had allowed it.
func (k *knee) sample(now, messages, residence float64, pressed bool) {
	m := &k.now
	if m.last == 0 { // the first of all
		m.limit = k.limit
		m.skip(now, k.limit, residence)
	}
	gap := math.Max(0, now-m.last) // several lanes sample, not quite in order
	m.last = math.Max(m.last, now)
	if m.skips(now, messages) {
		return
	}
	if k.silent(gap, messages) {
		// A silence of the sink says nothing of the limit, nor do the messages that waited through it. When
		// there is nothing but silences, that is how the sink is now.
		if k.silences++; k.silences > usualSilences {
			k.mean, k.gap, k.silences = residence, 0, 0
		}
		m.skip(now, 1.05*m.limit, k.mean)
		return
	}
	m.add(gap, messages, residence, pressed)
	if d, ok := m.differs(); ok {
		k.spread += 0.1 * (d*d - k.spread)
	}
	if k.enough() {
		k.finish(now)
	}
}

// silent reports whether the gap before a sample is longer than those that the sink makes anyway, between
// batches for instance.
func (k *knee) silent(gap, messages float64) bool {
	if k.mean == 0 {
		return false
	}
	m := &k.now
	m.gap = math.Max(m.gap, gap)
	if m.cycle += messages; m.cycle >= m.limit {
		if k.gap == 0 {
			k.gap = m.gap
		}
		k.gap += 0.2 * (math.Min(m.gap, 3*k.gap) - k.gap)
		m.cycle, m.gap = 0, 0
	}
	longer := math.Max(1, m.limit/k.at)
	return gap > 2*k.mean*longer || gap > k.mean/4 && k.gap > 0 && gap > 3*k.gap
}

// enough reports whether the present measure tells enough.
func (k *knee) enough() bool {
	m := &k.now
	far := k.elasticity > growing
	if m.messages < enoughWindows*m.limit || m.samples < enoughSamples/2 || !far && m.samples < enoughSamples {
		return false
	}
	deviation := m.deviation(k.spread)
	switch {
	case m.took >= enoughTime || deviation <= enoughError:
		return true
	case !far:
		return false
	case k.probing:
		e, deviation := k.between(&k.kept, m)
		return e-deviation > growing
	default:
		return deviation <= 0.1
	}
}

// between returns the elasticity at a that two measures show, and its standard error. From a to b it is less,
// for what one more brings gets less all the way: as with a sink whose rate is limit/(d + limit), which a
// lane is that waits for each Write.
func (k *knee) between(a, b *measure) (e, deviation float64) {
	ratio := math.Max(b.limit/a.limit, a.limit/b.limit)
	e = 1 - math.Log(b.mean()/a.mean())/math.Log(b.limit/a.limit)
	if e = math.Max(-1, math.Min(2, e)); e < 1 {
		more := math.Pow(ratio, e)
		d := ratio * (more - 1) / (ratio - more)
		e = math.Max(-1, d/(1+d))
	}
	relative := math.Hypot(a.deviation(k.spread), b.deviation(k.spread)) / math.Log(ratio)
	return e, math.Max(0.02, relative*ratio*math.Log(ratio)/(ratio-1))
}

// finish ends the present measure.
func (k *knee) finish(now float64) {
	m := k.now
	k.mean, k.at, k.silences = m.mean(), m.limit, 0
	if k.ceiling < k.most && now-k.cut > throttleFor {
		k.ceiling = k.most
	}
	switch {
	case m.pressed < m.messages/2: // the source was the limit: no evidence
		k.measure(now)
	case k.probing:
		k.pair(now)
	default:
		k.keep(now)
	}
}

// keep takes in a measure of the base.
func (k *knee) keep(now float64) {
	if k.mean < k.least || now-k.leastAt > forgetAfter {
		k.least, k.leastAt = k.mean, now
	}
	if k.kept.messages > 0 && math.Abs(math.Log(k.mean/k.kept.mean())) > 0.2 {
		k.kept, k.dwell = measure{}, 0 // the sink has changed
	}
	k.kept.join(&k.now)
	if k.dwell--; k.dwell < 0 {
		k.probing = true
		k.set()
		k.probing = k.limit != k.base // which have to differ to tell anything: a window of one message has no probe
	}
	k.measure(now)
}

// pair moves the base by what base and probe tell.
func (k *knee) pair(now float64) {
	probe := k.now
	e, deviation := k.between(&k.kept, &probe)
	k.noise = deviation * math.Abs(math.Log(probe.limit/k.kept.limit))
	if e-deviation > math.Max(growing, k.price()) && k.elasticity > 0.4 && probe.limit > k.base && probe.limit < k.ceiling {
		// It is far too low: the probe is the next base.
		k.elasticity, k.doubt = e, deviation*deviation
		k.base, k.kept = probe.limit, probe
		k.least = math.Min(k.least, k.mean)
		k.set()
		k.measure(now)
		return
	}
	k.learn(e, deviation)
	price := k.price()
	over, gain := k.elasticity-price, float64(gainUp)
	if over < 0 {
		gain = gainDown
	}
	if over > 0 && k.move > 0 && e > price { // a sink that gets better slowly is far from where it is good enough
		k.pace = math.Min(mostPace, 2*k.pace)
	} else {
		k.pace = 1
	}
	k.move = math.Max(-mostDown, math.Min(mostUp, k.pace*gain*over/(1+k.doubt/enoughDoubt)))
	k.base *= math.Exp(k.move)
	k.rebase(now, probe.rate())
}

// rebase starts to measure a base that has moved.
func (k *knee) rebase(now, rate float64) {
	k.base = math.Min(k.ceiling, math.Max(k.base, math.Max(leastLimit, rate*leastTime)))
	switch {
	case k.base == k.ceiling:
		k.dwell = 8 // the probe is below and costs throughput
	case k.move > moving:
		k.dwell = 0 // what more brings is still worth its delay, so the probe is
	case k.move < -moving:
		k.dwell = 3
	default:
		k.dwell = int(math.Max(2, math.Min(10, 0.4/k.noise))) // near the knee the probe costs delay
	}
	k.kept, k.probing = measure{}, false
	k.set()
	k.measure(now)
}

// learn moves the estimate of e towards what a pair has told, by how much that is to be trusted.
func (k *knee) learn(e, deviation float64) {
	noise := deviation * deviation
	k.doubt += drift*drift + 0.25*k.move*k.move // elsewhere it is another
	trust := k.doubt / (k.doubt + noise)
	if e > 0.3 && math.Abs(e-k.elasticity) > 3*math.Sqrt(k.doubt+noise) {
		trust, k.doubt = 1, noise // the sink has changed
	} else {
		k.doubt *= 1 - trust
	}
	k.elasticity += trust * (e - k.elasticity)
}

// price is the elasticity below which more in flight is not worth its delay. Up to softPrice the sink is one
// that gets better slowly; from there on only others that want the same of it are left, each of which finds
// an elasticity of a half or more.
func (k *knee) price() float64 {
	delay := k.kept.mean() - k.least
	soft := math.Max(leastPrice, math.Min(softPrice, softSlope*delay))
	p := math.Pow(delay/math.Max(priceDelay, priceFactor*k.least), 6)
	return math.Min(mostPrice, soft+p/(1+p))
}

// set makes base or probe the limit.
func (k *knee) set() {
	k.before = k.limit
	switch {
	case !k.probing:
		k.limit = k.base
	case k.base > 0.9*k.ceiling:
		k.limit = math.Max(1, k.base*downRatio)
	case k.elasticity > 0.7:
		k.limit = math.Min(k.ceiling, k.base*growRatio)
	default:
		wide := math.Min(noisyRatio, math.Exp(noisyFactor*k.noise))
		k.limit = math.Min(k.ceiling, k.base*math.Max(probeRatio, wide))
	}
}

// measure begins to measure the limit. What was sent under the one before comes first.
func (k *knee) measure(now float64) {
	k.now = measure{limit: k.limit, last: now}
	if k.before != k.limit {
		k.now.skip(now, 1.05*math.Max(k.before, k.limit), k.mean)
		k.before = k.limit
	}
}

// throttled says that the sink asked for less. What did not make it do so is kept.
func (k *knee) throttled(now float64) {
	if k.cut > 0 && now-k.cut < math.Max(k.mean, throttleFor/10) {
		return
	}
	k.cut = now
	k.ceiling = math.Min(k.most, math.Max(leastLimit, math.Min(k.ceiling, throttleNear*k.limit)))
	if !k.probing || k.base > k.ceiling {
		k.base *= throttleCut
	}
	k.elasticity, k.move = math.Min(k.elasticity, leastPrice), 0
	k.rebase(now, 0)
}

// resize changes the largest limit.
func (k *knee) resize(now, most float64) {
	k.most, k.ceiling = most, most
	if k.base > most || k.limit > most {
		k.rebase(now, 0)
	}
}

// forget gives up what was learnt of the sink's distance, and the pair that is half measured: it may be
// another sink. What was in flight while it was away is not measured.
func (k *knee) forget(now float64) {
	k.least, k.doubt = math.Inf(1), unknown
	if k.now.last == 0 {
		return // nothing was measured yet
	}
	k.kept, k.probing = measure{}, false
	k.set()
	k.measure(now)
	k.now.skip(now, 1.05*math.Max(k.before, k.limit), k.mean)
}

// asked is how much in flight the sink is worth. Where the largest limit holds the search down, the sink
// is taken for one that alternates between a distance and its work, as a lane does that waits for each
// Write: of its rate e = d/(d + limit/2), with d messages to cover the distance, and at e = worthIt it
// gives four fifths of what it can.
func (k *knee) asked() float64 {
	e := math.Min(0.95, k.elasticity)
	if k.base < 0.99*k.most || e <= worthIt {
		return k.base
	}
	return k.base * e / (1 - e) * (1 - worthIt) / worthIt
}
