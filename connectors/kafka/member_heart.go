package kafka

import (
	"context"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// beat sends heartbeats until ctx ends, at whole seconds of the clock: see connectors.UntilTick.
func (m *member) beat(ctx context.Context, g *generation) {
	s := m.s
	body := wire.AppendHeartbeat(nil, &g.as)
	for {
		pause(ctx, connectors.UntilTick(s.timing.heartbeat))
		if ctx.Err() != nil {
			return
		}
		answer, err := m.call(ctx, max(s.timing.session/3, time.Second), &wire.Call{
			Key: wire.HeartbeatKey, Version: wire.HeartbeatVersion, Body: body,
		})
		if ctx.Err() != nil {
			return
		}
		var c int16
		if err == nil {
			c, err = wire.ReadHeartbeat(answer.Body)
		}
		if err != nil {
			s.note(err)
			continue
		}
		switch code(c) {
		case codeNone:
			s.conn.connected()
		case codeRebalanceInProgress:
			g.rejoin()
		case codeIllegalGeneration, codeUnknownMemberID, codeFencedInstanceID:
			m.lost(&g.as, code(c))
		default:
			m.moved(code(c))
			s.note(codeError(code(c), "heartbeat to group %s", s.cfg.Group))
		}
	}
}

// lost ends the generation of as, if it is the current one: the group goes on without us.
func (m *member) lost(as *wire.Member, c code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.joined == nil || m.joined.as != *as {
		return
	}
	err := codeError(c, "group %s, member %s", m.s.cfg.Group, m.me.ID)
	if c == codeUnknownMemberID {
		m.me.ID = ""
	}
	if c == codeFencedInstanceID {
		err = m.fenced(err)
	}
	m.s.log.Warn().Err(err).Msg("the group goes on without us; joining again")
	m.joined.end(err)
}
