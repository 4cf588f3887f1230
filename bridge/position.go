package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// PositionStatus is where a route's source is in one partition, and what there is to read.
type PositionStatus struct {
	Partition string    `json:"partition"`
	First     int64     `json:"first"`     // what the source holds: positions [First, End)
	End       int64     `json:"end"`       //
	Known     bool      `json:"known"`     // false: upstream has no position, Committed means nothing
	Committed int64     `json:"committed"` // the position of the next message
	Lag       int64     `json:"lag"`       // positions from there to the end, messages or not
	Time      time.Time `json:"time,omitzero"`
	// Time is that of the next message; zero: there is none, or it has none.
}

// Positions returns where a route's source is in each partition. It asks the brokers, and disturbs nobody.
func (b *Bridge) Positions(ctx context.Context, route string) ([]PositionStatus, error) {
	r, err := b.route(route)
	if err != nil {
		return nil, err
	}
	look, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	defer look.close(ctx)
	for i := range look.parts {
		if err := look.dated(ctx, &look.parts[i].PositionStatus); err != nil {
			return nil, err
		}
	}
	all := make([]PositionStatus, len(look.parts))
	for i := range look.parts {
		all[i] = look.parts[i].PositionStatus
	}
	return all, nil
}

// look is what an operator's command sees of a route's positions.
type look struct {
	r         *Route
	positions connectors.Positions
	log       connectors.Log
	parts     []lookPart // in the order of the partitions' names
}

type lookPart struct {
	PositionStatus
	origin string
}

// look opens what there is to be seen of a route's source and reads it. It has to be closed.
func (r *Route) look(ctx context.Context) (l *look, err error) {
	spec := r.cfg.Source
	if spec.Positions == nil || spec.Log == nil {
		return nil, fmt.Errorf("route %s: the source %s has no positions that can be looked at", r.cfg.Name, r.cfg.SourceName)
	}
	l = &look{r: r}
	opened := l // what is returned with an error is nil
	defer func() {
		if err != nil {
			opened.close(ctx)
		}
	}()
	env := r.env(&sinkHost{r}, connectors.Map{})
	if l.positions, err = spec.Positions(ctx, env); err != nil {
		return nil, err
	}
	if l.log, err = spec.Log(ctx, env); err != nil {
		return nil, err
	}
	committed, err := l.positions.Committed(ctx)
	if err != nil {
		return nil, err
	}
	ranges, err := l.log.Ranges(ctx)
	if err != nil {
		return nil, err
	}
	held := map[string]connectors.Range{}
	for _, one := range ranges {
		held[one.Partition] = one
	}
	for _, at := range committed {
		one, ok := held[at.Partition]
		if !ok {
			return nil, fmt.Errorf("partition %s came or went while it was looked at; try again", at.Partition)
		}
		p := lookPart{origin: one.Origin, PositionStatus: PositionStatus{
			Partition: at.Partition, First: one.First, End: one.End, Known: at.Known, Committed: at.Next,
		}}
		p.Lag = one.End - one.First
		if at.Known {
			p.Lag = max(0, one.End-max(one.First, at.Next))
		}
		l.parts = append(l.parts, p)
	}
	return l, nil
}

func (l *look) close(ctx context.Context) {
	if l.positions != nil {
		l.r.closeAside(ctx, l.positions)
	}
	if l.log != nil {
		l.r.closeAside(ctx, l.log)
	}
}

// dated finds the time of the next message.
func (l *look) dated(ctx context.Context, p *PositionStatus) error {
	from := p.First
	if p.Known {
		from = max(from, p.Committed)
	}
	if from >= p.End {
		return nil
	}
	err := l.log.Read(ctx, p.Partition, from, p.End, func(m *connectors.Message) error {
		p.Time = m.Time
		return errFound
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}
