package main

import (
	"context"
	"slices"
	"time"
)

// clusterScenarios need three brokers of each kind.
func clusterScenarios() []*scenario {
	return []*scenario{
		{name: "one-away", says: "a Kafka broker is away that alone has some partitions, and the daemon is killed meanwhile", cluster: true,
			set: back(func(s *setting) { s.copies, s.topic = 1, map[string]string{"min.insync.replicas": "1"} }), act: oneAway},
		{name: "moved-there", says: "leaders move again and again, of Kafka and of JetStream", cluster: true, set: there(nil), act: leadersMove},
		{name: "moved-back", says: "leaders move again and again, of JetStream and of Kafka", cluster: true, set: back(nil), act: leadersMove},
	}
}

// oneAway kills the daemon while some partitions of the topic have no leader and the others go on.
func oneAway(ctx context.Context, t *trial, r *route) error {
	broker := t.stage.kafka[1]
	f := r.log.begin("a broker is away, SIGKILL meanwhile", 2, r)
	if err := broker.Process.Kill(); err != nil {
		return err
	}
	for range 2 {
		if err := pause(ctx, 8*time.Second); err != nil { // longer than a sink keeps trying by itself
			return err
		}
		if err := r.slots[0].kill(); err != nil {
			return err
		}
		if err := r.slots[0].start(); err != nil {
			return err
		}
	}
	if err := broker.Restart(ctx); err != nil {
		return err
	}
	took := r.flows(ctx, recoverPatience)
	if took < 0 {
		r.log.find(checkRecovery, r, "no acknowledgement within %v after the broker came back", recoverPatience)
	}
	r.log.amend(f, func(f *fault) { f.Recovered = round(took) })
	return nil
}

// leadersMove moves leaders by asking them to and by killing them.
func leadersMove(ctx context.Context, t *trial, _ *route) error {
	for range 3 {
		for _, s := range slices.Backward(brokerStrikes(t.stage)) {
			if err := t.hitBrokers(ctx, s, t.random); err != nil {
				return err
			}
		}
	}
	return nil
}
