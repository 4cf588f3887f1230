package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// offsetsTopic is where brokers keep what groups have committed.
const offsetsTopic = "__consumer_offsets"

// askGroup asks whether the user may join the group, and who else does. The first question of all about a group
// has the brokers make the topic for them, so it is not asked where there is none.
func (e *examiner) askGroup(ctx context.Context, c *SourceConfig) []connectors.Finding {
	if m, err := e.conn.refresh(ctx, offsetsTopic); err == nil {
		if t := m.Topics[offsetsTopic]; t != nil && t.Code == codeUnknownTopicOrPartition {
			return connectors.Found(connectors.Fine, "", "no group was used at these brokers yet, for there is no topic %s; run makes group %s", offsetsTopic, c.Group)
		}
	}
	if bad := e.askMembership(ctx, c.Group); bad != nil {
		return bad
	}
	all, err := e.admin.admin.DescribeGroups(ctx, c.Group)
	g := all[c.Group]
	if err == nil {
		err = g.Err
	}
	elsewhere := "choose another in the source's section: group: " + c.Group + "-2"
	switch {
	case errors.Is(err, kerr.GroupIDNotFound), err == nil && g.State == "Dead":
		return e.askNewProtocol(ctx, c.Group, elsewhere)
	case err != nil:
		return e.unseen("group "+c.Group, err)
	case g.ProtocolType != "" && g.ProtocolType != "consumer":
		return connectors.Found(connectors.Failed, elsewhere, "group %s is not one of consumers but of the protocol %s", c.Group, g.ProtocolType)
	}
	if who := strangers(c, &g); len(who) > 0 {
		return connectors.Found(connectors.Warning, elsewhere,
			"group %s is read by others too: %s; what they are given, this route does not get", c.Group, strings.Join(who, ", "))
	}
	return connectors.Found(connectors.Fine, "", "group %s: %s, %d member(s), all of Sluice", c.Group, strings.ToLower(g.State), len(g.Members))
}

// askNewProtocol is about a group that is none of the classic protocol: there is none yet, or it is of the newer one
// (KIP-848), which brokers describe apart.
func (e *examiner) askNewProtocol(ctx context.Context, group, elsewhere string) []connectors.Finding {
	all, err := e.admin.admin.DescribeConsumerGroups(ctx, group)
	if g, ok := all[group]; ok && err == nil && g.Err == nil && len(g.Members) > 0 {
		return connectors.Found(connectors.Warning, elsewhere,
			"group %s is read by %d member(s) of the consumer protocol (KIP-848), such as %s at %s; what they are given, this route does not get",
			group, len(g.Members), g.Members[0].ClientID, strings.TrimPrefix(g.Members[0].ClientHost, "/"))
	}
	return connectors.Found(connectors.Fine, "", "group %s is not there yet; run makes it", group)
}

// strangers names members that do not call themselves as we do, or read other topics.
func strangers(c *SourceConfig, g *kadm.DescribedGroup) (who []string) {
	const most = 3
	for i := range g.Members {
		m := &g.Members[i]
		foreign := m.ClientID != c.ClientID
		if sub, ok := m.Join.AsConsumer(); ok && slices.ContainsFunc(sub.Topics, func(t string) bool { return !slices.Contains(c.Topics, t) }) {
			foreign = true
		}
		if foreign && len(who) < most {
			who = append(who, fmt.Sprintf("%s at %s", m.ClientID, strings.TrimPrefix(m.ClientHost, "/")))
		}
	}
	return who
}

// askMembership finds out whether the user may join a group by a heartbeat of a member that there is not: who may
// not is told so, all others that there is no such member, and nothing changes.
func (e *examiner) askMembership(ctx context.Context, group string) []connectors.Finding {
	refused := func(doing string, c code, err error) []connectors.Finding {
		if c == codeGroupAuthorization {
			return connectors.Found(connectors.Failed, e.grant("--group", group, kadm.OpRead, kadm.OpDescribe), "%s may not read group %s", e.principal(), group)
		}
		return connectors.Found(connectors.Failed, "look into the broker's log, and at the topic "+offsetsTopic+": "+e.tool("topics", "--describe --topic %s", offsetsTopic),
			"%s of group %s: %v", doing, group, err)
	}
	answer, err := e.conn.call(ctx, e.conn.timeout, &wire.Call{
		Key: wire.FindCoordinatorKey, Version: wire.FindCoordinatorVersion, Node: wire.AnyBroker, Body: wire.AppendFindCoordinator(nil, group),
	})
	var node int32
	var c int16
	if err == nil {
		node, c, err = wire.ReadCoordinator(answer.Body)
		err = errors.Join(err, codeError(code(c), "find it"))
	}
	if err != nil {
		return refused("the coordinator", code(c), err)
	}
	nobody := wire.Member{Group: group, ID: "sluice-doctor", Generation: 0}
	answer, err = e.conn.call(ctx, e.conn.timeout, &wire.Call{
		Key: wire.HeartbeatKey, Version: wire.HeartbeatVersion, Node: node, Body: wire.AppendHeartbeat(nil, &nobody),
	})
	if err == nil {
		c, err = wire.ReadHeartbeat(answer.Body)
		err = errors.Join(err, codeError(code(c), "ask broker %d", node))
	}
	if err != nil && code(c).class() != classMember && code(c) != codeGroupIDNotFound {
		return refused("the membership", code(c), err)
	}
	return nil
}
