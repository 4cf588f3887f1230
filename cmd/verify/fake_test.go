package verify

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a log in memory whose partitions are as a test says.
type fake struct{ parts []part }

type part struct {
	connectors.Range
	log []connectors.Message // ascending by Offset
}

func (f *fake) Ranges(context.Context) (all []connectors.Range, err error) {
	for _, p := range f.parts {
		all = append(all, p.Range)
	}
	return all, nil
}

func (f *fake) find(name string) *part {
	for i := range f.parts {
		if f.parts[i].Partition == name {
			return &f.parts[i]
		}
	}
	panic(name)
}

func (f *fake) byOrigin(origin string) *part {
	for i := range f.parts {
		if f.parts[i].Origin == origin {
			return &f.parts[i]
		}
	}
	return nil
}

func (f *fake) Find(_ context.Context, partition string, t time.Time) (int64, error) {
	p := f.find(partition)
	for _, m := range p.log {
		if !m.Time.Before(t) {
			return m.Offset, nil
		}
	}
	return p.End, nil
}

func (f *fake) Read(_ context.Context, partition string, from, to int64, visit func(*connectors.Message) error) error {
	for _, m := range f.find(partition).log {
		if m.Offset >= from && m.Offset < to {
			if err := visit(&m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (*fake) Close(context.Context) error { return nil }

// start is the time of the first message.
var start = time.UnixMilli(1_700_000_000_000)

// sourceOf makes a source of some partitions "t/<n>" with so many messages each.
func sourceOf(counts ...int) *fake {
	f := &fake{}
	for n, count := range counts {
		p := part{Range: connectors.Range{Partition: fmt.Sprint("t/", n), End: int64(count)}}
		p.Origin = "kafka:c/" + p.Partition
		for i := range count {
			p.log = append(p.log, connectors.Message{
				Key: fmt.Append(nil, "k", i%7), Value: fmt.Append(nil, "v", n, ":", i), Time: start.Add(time.Duration(i) * time.Second),
				Headers: []connectors.Header{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}}, Offset: int64(i),
			})
		}
		if count > 30 {
			p.log[30].Value = []byte{}
		}
		f.parts = append(f.parts, p)
	}
	return f
}

// carried is a message as it stands at a sink.
func carried(p *part, i int) connectors.Message {
	m := p.log[i]
	b := &connectors.Batch{Origin: p.Origin}
	m.Headers = append(slices.Clone(m.Headers), connectors.Header{Key: connectors.OriginHeader, Value: connectors.AppendOrigin(nil, b, &m, nil, 1)})
	return m
}

// sinkOf makes a sink of one partition "S" that holds all of the source, round robin.
func sinkOf(source *fake) (all []connectors.Message) {
	for i := 0; ; i++ {
		before := len(all)
		for n := range source.parts {
			if p := &source.parts[n]; i < len(p.log) {
				all = append(all, carried(p, i))
			}
		}
		if len(all) == before {
			return all
		}
	}
}

// stored gives messages their positions in a sink's partition, from 1 on.
func stored(name string, messages []connectors.Message) part {
	p := part{Range: connectors.Range{Partition: name, First: 1, End: int64(len(messages)) + 1}, log: slices.Clone(messages)}
	for i := range p.log {
		p.log[i].Offset = int64(i) + 1
	}
	return p
}

// failer is what a testing.T and a rapid.T have in common.
type failer interface {
	Helper()
	Fatal(...any)
}

func compare(t failer, ends Ends, o Options) *Report {
	t.Helper()
	if o.Block == 0 {
		o.Block = 10
	}
	r, err := Compare(context.Background(), ends, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
