package nats

import (
	"context"
	"fmt"

	"github.com/sluice-bridge/sluice/connectors"
)

// askVersion says what a source lacks with an older server.
func (e *examiner) askVersion(context.Context) []connectors.Finding {
	at, err := e.server()
	switch {
	case err != nil:
		return e.refused(err)
	case at.canReset():
		return connectors.Found(connectors.Fine, "", "nats-server %s", at.version)
	}
	return connectors.Found(connectors.Warning, "run nats-server 2.14 or later",
		"nats-server %s is older than 2.14: nobody can own a durable, so messages are acknowledged one by one, without order, and come again after a stall beyond ack_wait", at.version)
}

// askConsumer asks whether the durable is there and can be read, by the rules by which a source takes it.
func (e *examiner) askConsumer(ctx context.Context, s *jetStreamSource) []connectors.Finding {
	info, err := s.durable.info(ctx)
	switch {
	case isAPIError(err, errCodeConsumerNotFound) && s.cfg.Consumer.Create:
		return e.newcomer(ctx, s)
	case isAPIError(err, errCodeConsumerNotFound):
		return connectors.Found(connectors.Failed, e.consumerAdd(s), "%s does not exist, and consumer.create is false", s.place())
	case err != nil:
		return e.refused(err)
	}
	if err := s.fit(&info.config); err != nil {
		return connectors.Found(connectors.Failed, e.unfitWay(s, &info.config), "%v", err)
	}
	text := fmt.Sprintf("%s: %d messages to read, %d in flight", s.place(), info.NumPending, info.NumAckPending)
	if owner := info.owner(); owner.inbox != "" {
		text += ", owned by " + owner.instance
	}
	return connectors.Found(connectors.Fine, "", "%s", text)
}

// newcomer is about a durable that is to be made.
func (e *examiner) newcomer(ctx context.Context, s *jetStreamSource) []connectors.Finding {
	stream, err := s.durable.streamInfo(ctx)
	if err == nil && stream.Config.Retention == "interest" {
		return connectors.Found(connectors.Warning, e.consumerAdd(s)+"; or start the route first",
			"%s is not there yet, and the stream keeps only what a consumer waits for (retention interest): what is written before run makes it is gone", s.place())
	}
	return connectors.Found(connectors.Fine, "", "%s is not there yet; run makes it", s.place())
}

func (e *examiner) consumerAdd(s *jetStreamSource) string {
	return e.conn.command(e.user(), s.consumerAdd())
}

// consumerAdd are the arguments of the nats command that make the durable.
func (s *jetStreamSource) consumerAdd() string {
	policy := "all"
	if s.cfg.Shared {
		policy = "explicit"
	}
	filters := ""
	for _, f := range s.cfg.Subjects {
		filters += connectors.CommandLine(" --filter=%s", f)
	}
	return connectors.CommandLine("consumer add %s %s --pull --ack=%s --deliver=all --wait=%v --max-deliver=-1 --max-pending=%d",
		s.cfg.Stream, s.cfg.Durable, policy, s.cfg.ackWait(), s.maxAckPending()) + filters + " --defaults"
}

// unfitWay is the way out of what fit finds: what can be changed is, else it has to be another durable.
func (e *examiner) unfitWay(s *jetStreamSource, c *consumerConfig) string {
	if c.DeliverSubject == "" && c.AckPolicy != "none" && c.MaxDeliver > 0 {
		return e.cli("consumer edit %s %s --max-deliver=-1 --force", s.cfg.Stream, s.cfg.Durable)
	}
	return "name another durable in the source's section, which run makes: durable: " + s.cfg.Durable + "-2"
}

// askWindow asks whether as much may await its acknowledgement as the route holds.
func (e *examiner) askWindow(ctx context.Context, s *jetStreamSource) []connectors.Finding {
	stream, err := e.stream(ctx, s.cfg.Stream)
	if err != nil {
		return e.refused(err)
	}
	want := s.maxAckPending()
	if most := stream.Config.Consumers.MaxAckPending; most > 0 && most < want && s.cfg.Consumer.Create {
		return connectors.Found(connectors.Failed, fmt.Sprintf("window: {max_messages: %d} in the route; or make the stream anew with --limit-consumer-max-pending=%d", max(1, most/6), want),
			"stream %s lets its consumers have %d messages in flight (consumer_limits.max_ack_pending), and a window of %d needs a durable with %d", s.cfg.Stream, most, s.window, want)
	}
	info, err := s.durable.info(ctx)
	if isAPIError(err, errCodeConsumerNotFound) {
		return connectors.Found(connectors.Fine, "", "run makes the durable with max_ack_pending %d", want)
	}
	if err != nil {
		return e.refused(err)
	}
	now := info.config.MaxAckPending
	switch {
	case now <= 0 || now >= want:
		return connectors.Found(connectors.Fine, "", "max_ack_pending %d is enough for a window of %d messages", now, s.window)
	case s.cfg.Consumer.Create:
		return connectors.Found(connectors.Fine, "", "run raises max_ack_pending from %d to %d", now, want)
	case now < s.window:
		return connectors.Found(connectors.Warning, e.cli("consumer edit %s %s --max-pending=%d --force", s.cfg.Stream, s.cfg.Durable, want),
			"%s may have %d messages in flight (max_ack_pending), less than the window of %d, which is never filled", s.place(), now, s.window)
	}
	return connectors.Found(connectors.Fine, e.cli("consumer edit %s %s --max-pending=%d --force", s.cfg.Stream, s.cfg.Durable, want),
		"max_ack_pending %d is enough for a window of %d messages, not for all that may await its commit", now, s.window)
}
