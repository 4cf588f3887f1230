package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// The assignors we offer, by the names under which other clients know them; the group uses one that all
// members offer.
const (
	assignRange      = "range"
	assignRoundRobin = "roundrobin"
)

// joinMargin is what the answer to a join may take beyond the time that the others have for theirs.
const joinMargin = 5 * time.Second

// join becomes a member of the next generation and returns what it was given.
func (m *member) join(ctx context.Context) ([]wire.TopicPartitions, error) {
	j, err := m.sendJoin(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.me.ID, m.me.Generation = j.MemberID, j.Generation
	me := m.me
	m.counts = nil
	m.mu.Unlock()
	var plan []wire.GroupAssignment
	// A static member that returns as leader is answered as a follower, under its old id: the plan stands.
	if j.Leader == j.MemberID && len(j.Members) > 0 {
		if plan, err = m.plan(ctx, j); err != nil {
			return nil, err
		}
	}
	answer, err := m.call(ctx, m.s.timing.rebalance+joinMargin, &wire.Call{
		Key: wire.SyncGroupKey, Version: wire.SyncGroupVersion, Body: wire.AppendSync(nil, &me, plan),
	})
	if err != nil {
		return nil, err
	}
	given, c, err := wire.ReadSynced(answer.Body)
	if err = errors.Join(err, codeError(code(c), "sync with group %s", m.s.cfg.Group)); err != nil {
		m.refused(code(c))
		return nil, m.verdict(err)
	}
	return wire.ReadAssignment(given)
}

// sendJoin sends JoinGroup, twice for a new dynamic member: the first answer only tells its id.
func (m *member) sendJoin(ctx context.Context) (*wire.Joined, error) {
	s := m.s
	for {
		m.mu.Lock()
		me := m.me
		m.mu.Unlock()
		answer, err := m.call(ctx, s.timing.rebalance+joinMargin, &wire.Call{
			Key: wire.JoinGroupKey, Version: wire.JoinGroupVersion,
			Body: wire.AppendJoin(nil, &wire.Join{
				Member:    me,
				SessionMS: int32(s.timing.session.Milliseconds()), RebalanceMS: int32(s.timing.rebalance.Milliseconds()),
				Protocols:    []string{assignRange, assignRoundRobin},
				Subscription: wire.AppendSubscription(nil, s.cfg.Topics),
			}),
		})
		if err != nil {
			return nil, err
		}
		j, err := wire.ReadJoined(answer.Body)
		if err != nil {
			return nil, err
		}
		c := code(j.Code)
		if c == codeNone {
			s.conn.connected()
			return j, nil
		}
		if c == codeMemberIDRequired && me.ID == "" && j.MemberID != "" {
			m.mu.Lock()
			m.me.ID = j.MemberID
			m.mu.Unlock()
			continue
		}
		m.refused(c)
		return nil, m.verdict(codeError(c, "join group %s", s.cfg.Group))
	}
}

// refused keeps what the code of a join or sync says about us and the coordinator.
func (m *member) refused(c code) {
	m.moved(c)
	if c == codeUnknownMemberID {
		m.mu.Lock()
		m.me.ID = ""
		m.mu.Unlock()
	}
}

// verdict marks the errors that trying again cannot cure.
func (m *member) verdict(err error) error {
	if c, _ := codeOf(err); c == codeFencedInstanceID {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.fenced(err)
	}
	return err
}

// fencedAgain is how soon after it was fenced a member is fenced again if another process uses its
// instance_id. Fenced once, it was by the last request of its own killed predecessor, which a broker that had
// been away answered late.
const fencedAgain = time.Minute

// fenced returns the error of a member whose instance_id another has taken. It takes it back once. It is
// called with mu held.
func (m *member) fenced(err error) error {
	m.me.ID = ""
	last := m.fence
	m.fence = time.Now()
	if m.fence.Sub(last) > fencedAgain {
		return err
	}
	return connectors.Halt("instance_id_in_use", fmt.Sprintf("give each process an instance_id of its own, then: sluice resume %s", m.s.route), err)
}

// plan assigns the partitions of all topics to all members; it is called on the leader.
func (m *member) plan(ctx context.Context, j *wire.Joined) ([]wire.GroupAssignment, error) {
	topics := map[string][]string{} // subscribers
	members := slices.Clone(j.Members)
	slices.SortFunc(members, func(a, b wire.JoinedMember) int {
		return cmp.Or(cmp.Compare(a.InstanceID, b.InstanceID), cmp.Compare(a.ID, b.ID))
	})
	for _, other := range members {
		subscribed, err := wire.ReadSubscription(other.Subscription)
		if err != nil {
			return nil, fmt.Errorf("group %s: subscription of member %s: %w", j.Protocol, other.ID, err)
		}
		slices.Sort(subscribed)
		for _, t := range slices.Compact(subscribed) {
			topics[t] = append(topics[t], other.ID)
		}
	}
	names := slices.Sorted(maps.Keys(topics))
	known, err := m.s.conn.refresh(ctx, names...)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, name := range names {
		if t := known.Topics[name]; t != nil {
			counts[name] = len(t.Partitions)
		}
	}
	m.mu.Lock()
	m.counts = counts
	m.mu.Unlock()

	assign := assignByRange
	if j.Protocol == assignRoundRobin {
		assign = assignInTurn
	}
	given := assign(names, topics, counts)
	plan := make([]wire.GroupAssignment, len(members))
	for i, other := range members {
		plan[i] = wire.GroupAssignment{MemberID: other.ID, Assignment: wire.AppendAssignment(nil, given[other.ID])}
	}
	return plan, nil
}

// grown asks for a new plan if we made the current one and a topic has more partitions now.
func (m *member) grown(known *metadata) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.joined == nil {
		return
	}
	for name, n := range m.counts {
		if t := known.Topics[name]; t != nil && t.Code == codeNone && len(t.Partitions) != n {
			m.joined.rejoin()
		}
	}
}

// led returns the topics that we, as the leader, have to watch.
func (m *member) led() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.counts))
}

// assignByRange gives each topic's subscribers neighbouring partitions, those first in order one more
// where they do not divide evenly.
func assignByRange(names []string, subscribers map[string][]string, counts map[string]int) map[string][]wire.TopicPartitions {
	given := map[string][]wire.TopicPartitions{}
	for _, name := range names {
		next := 0
		for i, id := range subscribers[name] {
			share := counts[name] / len(subscribers[name])
			if i < counts[name]%len(subscribers[name]) {
				share++
			}
			if share == 0 {
				continue
			}
			p := wire.TopicPartitions{Topic: name}
			for range share {
				p.Partitions = append(p.Partitions, int32(next))
				next++
			}
			given[id] = append(given[id], p)
		}
	}
	return given
}

// assignInTurn deals the partitions of all topics like cards; who is not subscribed is passed over.
func assignInTurn(names []string, subscribers map[string][]string, counts map[string]int) map[string][]wire.TopicPartitions {
	var order []string // all members, as they first appear
	for _, name := range names {
		for _, id := range subscribers[name] {
			if !slices.Contains(order, id) {
				order = append(order, id)
			}
		}
	}
	slices.Sort(order)
	given := map[string][]wire.TopicPartitions{}
	turn := 0
	for _, name := range names {
		for number := range counts[name] {
			for !slices.Contains(subscribers[name], order[turn%len(order)]) {
				turn++
			}
			id := order[turn%len(order)]
			turn++
			last := len(given[id]) - 1
			if last < 0 || given[id][last].Topic != name {
				given[id] = append(given[id], wire.TopicPartitions{Topic: name})
				last++
			}
			given[id][last].Partitions = append(given[id][last].Partitions, int32(number))
		}
	}
	return given
}
