package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-bridge/sluice/connectors"
)

func sourceRights() []kadm.ACLOperation { return []kadm.ACLOperation{kadm.OpRead, kadm.OpDescribe} }
func sinkRights() []kadm.ACLOperation   { return []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe} }

// topicChecks look at one topic: that it is there and led, that the user has the rights, and its settings.
func (e *examiner) topicChecks(name string, rights []kadm.ACLOperation, judge func(settings) []connectors.Finding) []connectors.Check {
	what := "topic " + name
	needs := what + " to " + strings.ToLower(rights[0].String())
	return []connectors.Check{
		e.of(what, "kafka.topic", "kafka.advertised", func(ctx context.Context) []connectors.Finding { return e.askTopic(ctx, name, rights) }),
		e.of(needs, "kafka.permission", "kafka.topic", func(ctx context.Context) []connectors.Finding { return e.askRights(ctx, name, rights) }),
		e.of(needs, "kafka.settings", "kafka.topic", func(ctx context.Context) []connectors.Finding { return e.askSettings(ctx, name, judge) }),
	}
}

// askTopic asks whether a topic is there and who leads it.
func (e *examiner) askTopic(ctx context.Context, name string, rights []kadm.ACLOperation) []connectors.Finding {
	m, err := e.conn.refresh(ctx, name)
	if err != nil {
		return connectors.Found(connectors.Failed, "look into the broker's log", "the brokers do not tell of topic %s: %v", name, err)
	}
	t := m.Topics[name]
	switch {
	case t == nil || t.Code == codeUnknownTopicOrPartition:
		return connectors.Found(connectors.Failed, topicCommand(e.addresses()[0], name, len(m.Brokers)),
			"topic %s does not exist", name)
	case t.Code == codeTopicAuthorization:
		return connectors.Found(connectors.Failed, e.grant("--topic", name, rights...), "%v", t.err())
	case t.err() != nil:
		return connectors.Found(connectors.Failed, t.Code.wayOut(), "%v", t.err())
	}
	lacks := m.lacks([]string{name})
	if len(lacks) == 0 {
		return connectors.Found(connectors.Fine, "", "topic %s has %d partition(s), all with a leader and all replicas in sync", name, len(t.Partitions))
	}
	level := connectors.Warning
	if slices.ContainsFunc(t.Partitions, func(p partition) bool { return p.Leader < 0 }) {
		level = connectors.Failed
	}
	return connectors.Found(level, e.tool("topics", "--describe --topic %s", name)+"; then bring the missing brokers back", "%s", strings.Join(lacks, ", "))
}

// askRights asks what the user may do with a topic (KIP-430).
func (e *examiner) askRights(ctx context.Context, name string, rights []kadm.ACLOperation) []connectors.Finding {
	m, err := e.admin.admin.Metadata(kadm.WithAuthorizedOps(ctx), name)
	if err != nil {
		return e.unseen("what the user may do with topic "+name, err)
	}
	return e.judgeRights(name, m.Topics[name].AuthorizedOperations, rights)
}

// judgeRights compares what the user may do with a topic with what is needed.
func (e *examiner) judgeRights(name string, have, need []kadm.ACLOperation) []connectors.Finding {
	what := "topic " + name
	if len(have) == 0 {
		return connectors.Found(connectors.Fine, "", "the brokers do not tell what %s may do with %s", e.principal(), what)
	}
	var lacking []string
	for _, op := range need {
		if !slices.Contains(have, op) && !slices.Contains(have, kadm.OpAll) {
			lacking = append(lacking, op.String())
		}
	}
	if len(lacking) > 0 {
		return connectors.Found(connectors.Failed, e.grant("--topic", name, need...), "%s may not %s %s", e.principal(), strings.Join(lacking, " nor "), what)
	}
	return connectors.Found(connectors.Fine, "", "%s has the rights on %s", e.principal(), what)
}

// unseen is what comes of a question that a route does not ask: it moves all the same.
func (e *examiner) unseen(what string, err error) []connectors.Finding {
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return connectors.Found(connectors.Fine, "", "%s may not see %s", e.principal(), what)
	}
	return connectors.Found(connectors.Warning, "", "%s cannot be seen: %v", what, err)
}

// principal is who we are to an authorizer.
func (e *examiner) principal() string {
	if user := e.cfg.user(); user != "" {
		return "User:" + user
	}
	return "User:ANONYMOUS"
}

// tool is a command line of one of Kafka's own.
func (e *examiner) tool(name, format string, args ...any) string {
	return connectors.CommandLine("kafka-%s.sh --bootstrap-server %s ", name, e.addresses()[0]) + connectors.CommandLine(format, args...)
}

func (e *examiner) grant(kind, name string, rights ...kadm.ACLOperation) string {
	way := e.tool("acls", "--add --allow-principal %s", e.principal())
	for _, r := range rights {
		way += " --operation " + strings.ToUpper(r.String())
	}
	return way + connectors.CommandLine(" "+kind+" %s", name)
}
