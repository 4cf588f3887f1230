package nats

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// patterns are the subjects that a template may make, with wildcards where they depend on the message. topics are
// what the source's messages may have as their subject; nil: anything.
func (s *subjects) patterns(topics []string) []string {
	if s.constant != nil {
		return []string{string(s.constant)}
	}
	if len(topics) == 0 || !s.template.Names("topic", "subject") {
		topics = []string{">"}
	}
	var all []string
	for _, topic := range topics {
		escape := func(dst []byte, name string, _ []byte) []byte {
			if name == "topic" || name == "subject" {
				if strings.ContainsAny(topic, "*>") {
					return append(dst, topic...)
				}
				return appendValue(dst, name, []byte(topic))
			}
			if name == connectors.PlaceDotted {
				return append(dst, '>')
			}
			return append(dst, '*')
		}
		all = append(all, tidy(string(s.template.Append(nil, &connectors.Batch{}, &connectors.Message{}, escape))))
	}
	return all
}

// tidy makes a pattern of a text in which wildcards stand anywhere.
func tidy(text string) string {
	tokens := strings.Split(text, ".")
	for i, t := range tokens {
		switch {
		case strings.Contains(t, ">") && i == len(tokens)-1:
			tokens[i] = ">"
		case strings.ContainsAny(t, "*>"):
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// askSubject asks whether the stream stores what the sink publishes: what no stream takes is never acknowledged.
func (e *examiner) askSubject(ctx context.Context, s *jetStreamSink, topics []string) []connectors.Finding {
	info, err := s.readStream(ctx)
	if err != nil {
		return e.refused(err)
	}
	taken := info.Config.Subjects
	var all []connectors.Finding
	for _, p := range s.subjects.patterns(topics) {
		more := append(taken[:len(taken):len(taken)], p)
		way := e.cli("stream edit %s --subjects=%s --force", s.cfg.Stream, strings.Join(more, ","))
		switch {
		case covers(taken, p):
		case meets(taken, p):
			all = append(all, connectors.Finding{Level: connectors.Warning, Way: way,
				Text: fmt.Sprintf("stream %s takes [%s], and the sink publishes to %s: what of it the stream does not take is refused", s.cfg.Stream, strings.Join(taken, " "), p)})
		default:
			all = append(all, connectors.Finding{Level: connectors.Failed, Way: way + "; or map.subject: a subject that it takes",
				Text: fmt.Sprintf("stream %s takes [%s], and not what the sink publishes to: %s", s.cfg.Stream, strings.Join(taken, " "), p)})
		}
	}
	if all == nil {
		return connectors.Found(connectors.Fine, "", "stream %s takes what the sink publishes to: %s", s.cfg.Stream, strings.Join(s.subjects.patterns(topics), " "))
	}
	return all
}
