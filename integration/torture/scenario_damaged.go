package main

import (
	"context"
	"time"

	"github.com/sluice-bridge/sluice/integration/truth"
)

const (
	batchesEach  = 10 // in each partition
	messagesEach = 100
)

// damaged flips a byte in a batch on the broker's disk. No client can read the source then, so that the
// truth is what was written to it.
func damaged(ctx context.Context, t *trial, r *route) error {
	for p := range int32(partitions) {
		for b := range int64(batchesEach) {
			batch := make([]truth.Message, messagesEach)
			for i := range batch {
				n := r.ledger.next()
				batch[i] = r.maker.message(n)
				r.ledger.note(n, stored)
				r.written = append(r.written, truth.NewEntry(r.name, &batch[i], p, b*messagesEach+int64(i)))
			}
			if err := r.topic.WriteMessages(ctx, p, batch...); err != nil {
				return err
			}
		}
	}
	r.expect.lost, r.expect.raw = messagesEach, 1
	broker := t.stage.kafka[0]
	if err := broker.Process.Stop(20 * time.Second); err != nil { // softly: a broker that recovers cuts damage off
		return err
	}
	if err := broker.Damage(r.topic.Name, 2); err != nil {
		return err
	}
	if err := broker.Restart(ctx); err != nil {
		return err
	}
	return r.slots[0].start()
}
