package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-bridge/sluice/integration/brokers"
)

// brokerStrike is a kind of fault on a broker, which all routes feel. None may double anything.
type brokerStrike struct {
	name   string
	weight int
	do     func(ctx context.Context, t *trial, random *rand.Rand) (note string, err error)
}

// brokerStrikes are those of a stage. A Kafka that is killed takes seconds to come back, so that is done
// seldom.
func brokerStrikes(s *stage) []*brokerStrike {
	all := []*brokerStrike{
		{"nats-server SIGKILL", 4, killNATS},
		{"nats-server SIGSTOP", 3, freezeNATS},
		{"kafka SIGSTOP", 3, freezeKafka},
		{killedKafka, 1, killKafka},
	}
	if len(s.nats) > 1 {
		all = append(all, &brokerStrike{"nats: leaders step down", 4, stepDown}, &brokerStrike{"kafka: preferred leaders elected", 2, elect})
	}
	return all
}

const killedKafka = "kafka SIGKILL"

func killNATS(ctx context.Context, t *trial, random *rand.Rand) (string, error) {
	n := t.stage.nats[random.IntN(len(t.stage.nats))]
	if err := n.Process.Kill(); err != nil {
		return "", err
	}
	_ = pause(ctx, between(random, 0, time.Second))
	return n.Name, n.Restart(context.WithoutCancel(ctx))
}

func killKafka(ctx context.Context, t *trial, random *rand.Rand) (string, error) {
	k := t.stage.kafka[random.IntN(len(t.stage.kafka))]
	if err := k.Process.Kill(); err != nil {
		return "", err
	}
	_ = pause(ctx, between(random, 0, time.Second))
	return fmt.Sprint(k.ID), k.Restart(context.WithoutCancel(ctx))
}

func freezeNATS(ctx context.Context, t *trial, random *rand.Rand) (string, error) {
	n := t.stage.nats[random.IntN(len(t.stage.nats))]
	return n.Name, freeze(ctx, n.Process, random)
}

func freezeKafka(ctx context.Context, t *trial, random *rand.Rand) (string, error) {
	k := t.stage.kafka[random.IntN(len(t.stage.kafka))]
	return fmt.Sprint(k.ID), freeze(ctx, k.Process, random)
}

func freeze(ctx context.Context, p *brokers.Process, random *rand.Rand) error {
	if err := p.Freeze(); err != nil {
		return err
	}
	_ = pause(ctx, between(random, 100*time.Millisecond, time.Second))
	return p.Thaw()
}

// stepDown moves the leaders of all streams. A stream without a leader, as just after another fault,
// cannot.
func stepDown(ctx context.Context, t *trial, random *rand.Rand) (string, error) {
	var streams []string
	for _, r := range t.routes {
		streams = append(streams, r.stream.Name)
	}
	asking, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := t.stage.nats[random.IntN(len(t.stage.nats))].StepDown(asking, streams...); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

// elect moves the leaders of all partitions back to where they were before brokers died.
func elect(ctx context.Context, t *trial, _ *rand.Rand) (string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.stage.kafka[0].Addr))
	if err != nil {
		return "", err
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(client).ElectLeaders(asking, kadm.ElectPreferredReplica, nil); err != nil {
		return err.Error(), nil
	}
	return "", nil
}
