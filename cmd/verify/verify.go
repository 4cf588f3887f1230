package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/connectors"
)

// Options say what is compared. The zero value compares everything that the sink holds of the source.
type Options struct {
	Route string    // whose dead letters count; as the letters name it
	Since time.Time // only source messages stored since then; zero: all
	// To bounds the source partitions by name, such as by what is committed. One that is missing is
	// compared up to the last of its messages that the sink holds.
	To map[string]int64
	// Whole compares up to the source's present end; To is not looked at.
	Whole bool
	// WayBack says that another route leads back: what the source has from the sink was not sent there again.
	WayBack bool
	// Transform is the route's filter and mapping: what does not pass is not at the sink, and what does is there as it
	// is mapped. Nil: neither.
	Transform *transform.Program
	// Unordered lets order be, for routes that do not keep it.
	Unordered bool
	// Findings bounds how many of each kind are listed; 0: 20. All are counted.
	Findings int
	// Block is how many source offsets one sum is over; 0: 10,000, or more where the source is large.
	Block int64
}

const (
	defaultFindings = 20
	defaultBlock    = 10_000
	maxBlocks       = 1 << 17
	// slack is how far before Since the sink is read, whose clock may be another one.
	slack = time.Minute
)

// comparison is one call of Compare.
type comparison struct {
	ends    Ends
	options Options
	shape   *transform.Evaluator
	// expected is the message that is compared, as the sink should have it.
	expected connectors.Message
	expect   func(*connectors.Batch, *connectors.Message)
	hasher   *hasher
	block    int64

	sources  []*partition
	byOrigin map[string]*partition
	kin      map[string]bool // what the origins of all partitions of a topic begin with
	sinks    []sinkPart
	places   map[string]bool // the origins of the sink's partitions, where nothing is sent back to
	report   *Report
}

// sinkPart is a partition of the sink; it is read from start on.
type sinkPart struct {
	connectors.Range
	start int64
}

// Compare reads both ends and tells how they differ. It blocks until both are read, some of it twice. An
// error means that an end could not be read. The ends stay open.
func Compare(ctx context.Context, ends Ends, options Options) (*Report, error) {
	if options.Findings == 0 {
		options.Findings = defaultFindings
	}
	c := &comparison{
		ends: ends, options: options, hasher: newHasher(), shape: options.Transform.Evaluator(),
		byOrigin: map[string]*partition{}, kin: map[string]bool{}, places: map[string]bool{},
		report: &Report{Route: options.Route, Counts: map[Kind]int64{}, Findings: []Finding{}},
	}
	if e, ok := ends.Sink.(connectors.Expecter); ok {
		c.expect = e.Expect
	}
	begun := time.Now()
	for _, step := range []func(context.Context) error{c.plan, c.readLetters, c.readSink, c.readSource, c.readAgain} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	c.conclude()
	c.report.Took = time.Since(begun)
	return c.report, nil
}

// plan finds out what there is. The sink is asked first: what it holds by then the source has had.
func (c *comparison) plan(ctx context.Context) error {
	there, err := c.ends.Sink.Ranges(ctx)
	if err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	for _, r := range there {
		s := sinkPart{r, r.First}
		if !c.options.Since.IsZero() {
			if s.start, err = c.ends.Sink.Find(ctx, r.Partition, c.options.Since.Add(-slack)); err != nil {
				return fmt.Errorf("sink %s: %w", r.Partition, err)
			}
		}
		c.sinks = append(c.sinks, s)
		if c.options.WayBack {
			c.places[r.Origin] = true
		}
	}
	here, err := c.ends.Source.Ranges(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	total := int64(0)
	for _, r := range here {
		p, err := c.partitionOf(ctx, r)
		if err != nil {
			return err
		}
		p.index = len(c.sources)
		c.sources = append(c.sources, p)
		c.byOrigin[r.Origin] = p
		if base, ok := kinOf(r); ok {
			c.kin[base] = true
		}
		total += p.bound() - p.from
	}
	c.block = max(c.options.Block, 1)
	if c.options.Block == 0 {
		c.block = max(defaultBlock, total/maxBlocks)
	}
	for _, p := range c.sources {
		p.blocks = make([]block, (p.bound()-p.from+c.block-1)/c.block)
		p.lanes = make([]lane, len(c.sinks))
	}
	return nil
}

// partitionOf says which positions of a source partition are compared.
func (c *comparison) partitionOf(ctx context.Context, r connectors.Range) (*partition, error) {
	p := &partition{Range: r, from: r.First, to: unknown, now: r.First}
	if !c.options.Since.IsZero() {
		at, err := c.ends.Source.Find(ctx, r.Partition, c.options.Since)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", r.Partition, err)
		}
		p.from = max(r.First, min(at, r.End))
	}
	to, known := c.options.To[r.Partition]
	switch {
	case c.options.Whole:
		p.to = r.End
	case known:
		p.to = max(p.from, min(to, r.End))
	}
	return p, nil
}
