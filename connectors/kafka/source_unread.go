package kafka

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka/wire"
)

// keptFor is how long what is known of the topics' retention is believed.
const keptFor = time.Minute

// retention is how long a topic keeps messages; 0: for ever, or it is not known.
type retention struct {
	topic string
	time  time.Duration
}

// Unread implements connectors.Forecaster. A partition's oldest unread message is not older than the one that
// was read before it.
func (s *source) Unread() (u connectors.Unread) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.kept {
		if r.time > 0 && (u.Kept == 0 || r.time < u.Kept) {
			u.Kept, u.Limit = r.time, limitOf(r.topic)
		}
	}
	for _, f := range s.feeds {
		if !f.located || f.end <= f.next || f.last.IsZero() {
			continue
		}
		if u.Oldest.IsZero() || f.last.Before(u.Oldest) {
			u.Oldest = f.last
		}
		for _, r := range s.kept {
			if lost := f.last.Add(r.time); r.topic == f.topic && r.time > 0 && (u.Lost.IsZero() || lost.Before(u.Lost)) {
				u.Lost, u.Limit = lost, limitOf(r.topic)
			}
		}
	}
	return u
}

func limitOf(topic string) string { return "retention.ms of topic " + topic }

// noteRead keeps how old what was read last of a partition is. s.mu is held.
func (f *feed) noteRead(messages []connectors.Message) {
	if n := len(messages); n > 0 {
		f.last = messages[n-1].Time
	}
}

// askRetention learns how long topics keep messages. Who may not describe them reads them all the same.
func (s *source) askRetention() {
	if time.Since(s.keptAt) < keptFor {
		return
	}
	s.keptAt = time.Now()
	answer, err := s.conn.call(s.life, s.timing.request, &wire.Call{
		Key: wire.DescribeConfigsKey, Version: wire.DescribeConfigsVersion, Node: wire.AnyBroker, Limit: 4 << 20,
		Body: wire.AppendDescribeConfigs(nil, s.cfg.Topics, "retention.ms", "cleanup.policy"),
	})
	var all []wire.TopicConfig
	if err == nil {
		all, err = wire.ReadConfigs(answer.Body)
	}
	if err != nil {
		s.keptAt = s.keptAt.Add(10*time.Second - keptFor)
		s.log.Debug().Err(err).Msg("how long topics keep messages is not known")
		return
	}
	kept := make([]retention, 0, len(all))
	for _, t := range all {
		r := retention{topic: t.Topic}
		if ms, err := strconv.ParseInt(t.Values["retention.ms"], 10, 64); err == nil && ms > 0 && ms < int64(1<<63-1)/1e6 &&
			slices.Contains(strings.Split(t.Values["cleanup.policy"], ","), "delete") {
			r.time = time.Duration(ms) * time.Millisecond
		}
		kept = append(kept, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = kept
}
