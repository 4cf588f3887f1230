package kafka

import (
	"context"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// placesOf names topics, once for each broker that is named: two ends that were given other brokers of one
// cluster are not known to meet, unless one is given in both.
func placesOf(brokers connectors.List, topics ...string) (places []string) {
	for _, b := range brokers {
		if !strings.Contains(b, ":") {
			b += ":9092"
		}
		for _, t := range topics {
			places = append(places, "topic "+t+" of kafka "+strings.ToLower(b))
		}
	}
	return places
}

// writesTo returns the one topic that a sink writes to, empty where it depends on the message.
func writesTo(c *SinkConfig, m connectors.Map) string {
	switch {
	case m.Topic == nil:
		return c.Topic
	case m.Topic.Constant():
		return m.Topic.String()
	}
	return ""
}

// Place implements connectors.Placer.
func (s *sink) Place(ctx context.Context) (string, error) {
	m := s.conn.cached()
	if m == nil {
		var err error
		if m, err = s.conn.refresh(ctx); err != nil {
			return "", err
		}
	}
	return originOf(m.ClusterID, writesTo(&s.config, s.env.Map)), nil
}

// originOf is how origins of a cluster begin; name is a topic's or a partition's.
func originOf(cluster, name string) string { return "kafka:" + cluster + "/" + name }
