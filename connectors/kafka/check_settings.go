package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// settings are a topic's, as far as they decide what becomes of messages.
type settings struct {
	topic    string
	values   map[string]string
	replicas int // of a partition, at least
	inSync   int // of a partition, at least
	brokers  int
}

func (s *settings) number(name string) int64 {
	n, err := strconv.ParseInt(s.values[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// askSettings reads a topic's settings and has them judged.
func (e *examiner) askSettings(ctx context.Context, name string, judge func(settings) []connectors.Finding) []connectors.Finding {
	all, err := e.admin.admin.DescribeTopicConfigs(ctx, name)
	if err == nil && len(all) == 1 {
		err = all[0].Err
	}
	if err != nil || len(all) != 1 {
		return e.unseen("the settings of topic "+name, err)
	}
	m := e.conn.cached()
	s := settings{topic: name, values: map[string]string{}, brokers: len(m.Brokers)}
	for _, c := range all[0].Configs {
		s.values[c.Key] = c.MaybeValue()
	}
	for i, p := range m.Topics[name].Partitions {
		if i == 0 || p.Replicas < s.replicas {
			s.replicas = p.Replicas
		}
		if now := p.Replicas - len(p.Missing); i == 0 || now < s.inSync {
			s.inSync = now
		}
	}
	return judge(s)
}

// alter is the command that changes a setting of a topic.
func (e *examiner) alter(topic, name string, value any) string {
	return e.tool("configs", "--alter --entity-type topics --entity-name %s --add-config %s=%v", topic, name, value)
}

// bound keeps how large a message of the topic may be.
func (e *examiner) bound(s settings) {
	const name = "max.message.bytes"
	now := s.number(name)
	if now <= 0 {
		return
	}
	if least := e.largest.Load(); least != nil && least.Bytes >= now {
		return // of several topics, what the largest holds
	}
	e.largest.Store(&connectors.Limit{Bytes: now, Name: name + " of topic " + s.topic, Change: func(bytes int64) string {
		return e.alter(s.topic, name, bytes)
	}})
}

// judgeSource says what may take messages away before they are read.
func (e *examiner) judgeSource(s settings) (all []connectors.Finding) {
	e.bound(s)
	all = append(all, e.unclean(s)...)
	const short = time.Hour
	kept, deletes := s.number("retention.ms"), strings.Contains(s.values["cleanup.policy"], "delete")
	if deletes && kept > 0 && kept < short.Milliseconds() {
		all = append(all, connectors.Finding{
			Level: connectors.Warning, Way: e.alter(s.topic, "retention.ms", (7 * 24 * time.Hour).Milliseconds()),
			Text: fmt.Sprintf("topic %s keeps messages for %v: a route that is held back for longer loses them", s.topic, time.Duration(kept)*time.Millisecond),
		})
	}
	if len(all) == 0 {
		return connectors.Found(connectors.Fine, "", "retention.ms %s, cleanup.policy %s, max.message.bytes %s",
			s.values["retention.ms"], s.values["cleanup.policy"], s.values["max.message.bytes"])
	}
	return all
}

// judgeSink says what may take messages away that were acknowledged, or refuses them.
func (e *examiner) judgeSink(c *SinkConfig, s settings) (all []connectors.Finding) {
	e.bound(s)
	e.boundSink(c, s)
	all = append(all, e.unclean(s)...)
	add := func(level connectors.Level, way, format string, args ...any) {
		all = append(all, connectors.Found(level, way, format, args...)...)
	}
	least := int(s.number("min.insync.replicas"))
	switch {
	case least > s.inSync:
		add(connectors.Failed, "bring brokers back, or: "+e.alter(s.topic, "min.insync.replicas", max(1, s.inSync)),
			"topic %s takes nothing: min.insync.replicas is %d, and a partition has %d in sync", s.topic, least, s.inSync)
	case s.replicas == 1 && s.brokers > 1:
		add(connectors.Warning, "with a plan for more replicas: "+e.tool("reassign-partitions", "--reassignment-json-file plan.json --execute"),
			"topic %s has one replica of %d brokers: what it acknowledged is gone with that broker", s.topic, s.brokers)
	case s.replicas > 1 && least == 1:
		add(connectors.Warning, e.alter(s.topic, "min.insync.replicas", 2),
			"topic %s acknowledges what only the leader has: min.insync.replicas is 1 of %d replicas", s.topic, s.replicas)
	case s.replicas > 1 && least == s.replicas:
		add(connectors.Warning, e.alter(s.topic, "min.insync.replicas", least-1),
			"topic %s takes nothing while one of its %d brokers is away: min.insync.replicas is as many", s.topic, s.replicas)
	}
	if s.values["message.timestamp.type"] == "LogAppendTime" {
		add(connectors.Warning, e.alter(s.topic, "message.timestamp.type", "CreateTime"), "topic %s gives messages its own time instead of keeping theirs", s.topic)
	}
	if len(all) == 0 {
		return connectors.Found(connectors.Fine, "", "%d replica(s), min.insync.replicas %d, max.message.bytes %s", s.replicas, least, s.values["max.message.bytes"])
	}
	return all
}

// boundSink keeps how large a message the sink takes: it has a bound of its own beside the topic's.
func (e *examiner) boundSink(c *SinkConfig, s settings) {
	l := connectors.Limit{Bytes: int64(c.MaxMessage), Name: "max_message of the sink"}
	if of := e.largest.Load(); of != nil && of.Bytes < l.Bytes {
		l = *of
	}
	now := s.number("max.message.bytes")
	l.Change = func(bytes int64) string {
		var ways []string
		if bytes > now {
			ways = append(ways, e.alter(s.topic, "max.message.bytes", bytes))
		}
		if bytes > int64(c.MaxMessage) {
			ways = append(ways, fmt.Sprintf("max_message: %v in the sink's section", connectors.Size(bytes)))
		}
		return strings.Join(ways, "; and ")
	}
	e.largest.Store(&l)
}

// unclean tells of leaders that do not have what was acknowledged.
func (e *examiner) unclean(s settings) []connectors.Finding {
	const name = "unclean.leader.election.enable"
	if s.values[name] != "true" {
		return nil
	}
	return connectors.Found(connectors.Warning, e.alter(s.topic, name, false),
		"topic %s may lose what it acknowledged: a replica that is behind can become its leader (%s)", s.topic, name)
}
