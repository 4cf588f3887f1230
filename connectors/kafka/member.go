package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// member is our membership of the consumer group, in the classic protocol with eager rebalancing: before
// it joins anew it has given all its partitions back, with what was in flight acknowledged and committed
// as far as time allowed. Heartbeats have a goroutine of their own and depend on nothing else, so that
// a route that is stalled for hours keeps its partitions.
type member struct {
	s *source

	mu     sync.Mutex
	node   int32 // the coordinator, -1: unknown
	me     wire.Member
	joined *generation // nil between two
	counts map[string]int
	fence  time.Time // when another took our instance_id last
}

// generation is the time from one join to the next.
type generation struct {
	as   wire.Member
	over context.Context //nolint:containedctx // a span of time, not of a call: ends when the group has given our partitions to others
	end  context.CancelCauseFunc
	calm context.Context //nolint:containedctx // a span of time, within over: ends when everybody has to join anew
	// rejoin ends calm.
	rejoin context.CancelFunc
}

func newMember(s *source) *member {
	return &member{s: s, node: -1, me: wire.Member{Group: s.cfg.Group, InstanceID: s.cfg.InstanceID, Generation: -1}}
}

// run joins again and again until the source is closed or needs an operator.
func (m *member) run() {
	ctx := m.s.life
	for fails := 0; ctx.Err() == nil; {
		err := m.generation(ctx)
		switch {
		case err == nil:
			fails = 0
			continue
		case ctx.Err() != nil:
			return
		case connectors.IsPermanent(err):
			m.s.fail(err)
			return
		}
		fails++
		m.s.log.Debug().Err(err).Msg("joining the group failed; it is tried again")
		if c, _ := codeOf(err); c.class() == classMisconfigured {
			m.s.conn.hold("group", fmt.Errorf("kafka: %w", err))
		} else {
			m.s.note(err)
		}
		pause(ctx, m.s.backoff(fails))
	}
}

// note makes an error known by its nature: a broker that does not answer is a state, what a broker
// refuses is for people to read.
func (s *source) note(err error) {
	if _, ours := errors.AsType[*assignError](err); ours {
		s.tell(err)
	} else if c, answered := codeOf(err); !answered {
		s.conn.disconnected(err)
	} else if c.class() != classCoordinator && c.class() != classMember {
		s.tell(err)
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// generation joins, reads what it was given until the group moves on, and gives it back. Its error is
// about joining.
func (m *member) generation(ctx context.Context) error {
	parts, err := m.join(ctx)
	if err != nil {
		return err
	}
	m.s.conn.hold("group", nil)
	m.s.signal(m.s.stale) // the keeper tells if a topic is missing
	g := &generation{}
	g.over, g.end = context.WithCancelCause(ctx)
	g.calm, g.rejoin = context.WithCancel(g.over)
	m.mu.Lock()
	g.as, m.joined = m.me, g
	m.mu.Unlock()
	beating, stop := context.WithCancel(g.over)
	var heart sync.WaitGroup
	heart.Go(func() { m.beat(beating, g) })

	feeds := m.s.assigned(g.as, parts)
	m.s.log.Info().Int32("generation", g.as.Generation).Int("partitions", len(feeds)).Msg("joined the group")
	m.s.host.Report(connectors.Event{Kind: connectors.Assigned})
	m.s.locateAll(g, feeds)
	<-g.calm.Done()
	if ctx.Err() == nil {
		m.revoke(g, feeds)
	}
	stop()
	heart.Wait()
	m.mu.Lock()
	m.joined = nil
	m.mu.Unlock()
	cause := context.Cause(g.over)
	g.end(nil)
	if connectors.IsPermanent(cause) {
		return cause
	}
	return nil
}

// revoke gives the partitions back. Heartbeats go on meanwhile.
func (m *member) revoke(g *generation, feeds []*feed) {
	m.s.host.Report(connectors.Event{Kind: connectors.Rebalancing})
	defer m.s.hasten()()
	m.s.unassigned(feeds)
	limited, cancel := context.WithTimeout(g.over, m.s.timing.drain)
	defer cancel()
	names := make([]string, len(feeds))
	for i, f := range feeds {
		names[i] = f.name
	}
	m.s.host.Revoke(limited, names...)
}

// leave says goodbye, so that the partitions move at once. A static member keeps them for its restart.
func (m *member) leave(ctx context.Context) error {
	m.mu.Lock()
	me, node := m.me, m.node
	m.mu.Unlock()
	if me.ID == "" || me.InstanceID != "" || node < 0 {
		return nil
	}
	answer, err := m.s.conn.call(ctx, min(m.s.timing.request, 3*time.Second), &wire.Call{
		Key: wire.LeaveGroupKey, Version: wire.LeaveGroupVersion, Node: node, Body: wire.AppendLeave(nil, &me),
	})
	var c int16
	if err == nil {
		c, err = wire.ReadLeft(answer.Body)
	}
	if err == nil && code(c) != codeUnknownMemberID {
		err = codeError(code(c), "leave group %s", m.s.cfg.Group)
	}
	if err != nil {
		return fmt.Errorf("kafka: %w; its partitions move when the session ends, in %v", err, m.s.timing.session)
	}
	return nil
}
