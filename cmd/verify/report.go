package verify

import "time"

// Kind is a way in which the ends differ.
type Kind string

// The kinds; the package comment says what they mean.
const (
	Lost      Kind = "lost"
	Doubled   Kind = "doubled"
	Reordered Kind = "reordered"
	Altered   Kind = "altered"
	Phantom   Kind = "phantom"
)

// Kinds returns all kinds in the order in which they are told.
func Kinds() []Kind { return []Kind{Lost, Doubled, Reordered, Altered, Phantom} }

// Place is a position of either end.
type Place struct {
	Partition string `json:"partition"`
	Position  int64  `json:"position"`
}

// Finding is one message that is not as it should be.
type Finding struct {
	Kind   Kind     `json:"kind"`
	Source Place    `json:"source,omitzero"`           // where it comes from
	Sink   Place    `json:"sink,omitzero"`             // where it stands; of a doubled one its copy
	First  *Place   `json:"first,omitempty"`           // doubled: the first copy; reordered: the message it is behind
	Behind int64    `json:"behind_position,omitempty"` // reordered: the source position of that
	Fields []string `json:"fields,omitempty"`          // altered: which ones
	Detail string   `json:"detail,omitempty"`
}

// Report says how the ends differ. Counts are exact, lists are not longer than Options.Findings a kind.
type Report struct {
	Route          string            `json:"route"`
	Equal          bool              `json:"equal"`
	SourceMessages int64             `json:"source_messages"` // compared
	SinkMessages   int64             `json:"sink_messages"`   // read
	Foreign        int64             `json:"foreign"`         // of them not of this source
	Counts         map[Kind]int64    `json:"counts"`
	Findings       []Finding         `json:"findings"`
	Partitions     []PartitionReport `json:"partitions"`
	Took           time.Duration     `json:"took_ns"`
}

// PartitionReport is what became of a partition of the source.
type PartitionReport struct {
	Partition    string  `json:"partition"`
	From         int64   `json:"from"` // positions [From, To) were compared
	To           int64   `json:"to"`
	Messages     int64   `json:"messages"`      // there are in it
	Equal        []Run   `json:"equal"`         // runs of blocks in which nothing differs
	Different    []Run   `json:"different"`     // blocks in which something does
	Expired      int64   `json:"expired"`       // positions [0, Expired) are no longer at the source
	Gone         int64   `json:"gone"`          // messages at the sink that are no longer at the source
	Left         int64   `json:"left"`          // messages that may have been at the sink, which has dropped some since
	Returned     int64   `json:"returned"`      // messages that are from the sink and were not sent back there
	Filtered     int64   `json:"filtered"`      // messages that the route's filter does not let pass
	DeadLettered int64   `json:"dead_lettered"` // messages
	DeadLetters  []int64 `json:"dead_letters"`  // positions of the first of them
	Later        int64   `json:"later"`         // positions [To, To+Later) were not to be compared
}

// Run is positions [From, To) of a source partition.
type Run struct {
	From     int64 `json:"from"`
	To       int64 `json:"to"`
	Messages int64 `json:"messages"` // at the source
	Findings int64 `json:"findings,omitempty"`
}

// add counts a finding and lists it if there is room. b is nil where the source has no such position.
func (c *comparison) add(b *block, f Finding) {
	r := c.report
	r.Counts[f.Kind]++
	if b != nil {
		b.findings++
	}
	if r.Counts[f.Kind] <= int64(c.options.Findings) {
		r.Findings = append(r.Findings, f)
	}
}

// conclude fills in what is known of the partitions once all is read.
func (c *comparison) conclude() {
	r := c.report
	for _, p := range c.sources {
		one := PartitionReport{
			Partition: p.Partition, From: p.from, To: p.to, Gone: p.gone, Left: p.left, Returned: p.returned, Filtered: p.filtered, Later: p.End - p.to,
			DeadLettered: int64(len(p.letters)), DeadLetters: p.letters[:min(len(p.letters), c.options.Findings)],
		}
		if p.First > 1 {
			one.Expired = p.First
		}
		for i := range p.blocks {
			b, from := &p.blocks[i], p.from+int64(i)*c.block
			if from >= p.to {
				break
			}
			one.Messages += b.messages
			run := Run{From: from, To: min(from+c.block, p.to), Messages: b.messages, Findings: b.findings}
			last := len(one.Equal) - 1
			switch {
			case b.findings > 0 && len(one.Different) < c.options.Findings:
				one.Different = append(one.Different, run)
			case b.findings > 0:
			case last >= 0 && one.Equal[last].To == from:
				one.Equal[last].To, one.Equal[last].Messages = run.To, one.Equal[last].Messages+run.Messages
			default:
				one.Equal = append(one.Equal, run)
			}
		}
		r.Partitions = append(r.Partitions, one)
	}
	r.Equal = len(r.Findings) == 0
}
