package failpoint

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/integration/truth"
)

// pair is one way from a source to a sink.
type pair struct {
	name string
	load truth.Load
	open func(ctx context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error)
	same []truth.Field // what both ends have
}

// messages of a chain.
const messages = 3000

func pairs() []pair {
	kafkaSource := func(ctx context.Context, t testing.TB, load *truth.Load) (*kafkaEnd, error) {
		e := newKafkaEnd(t, "from", 2)
		return e, e.fill(ctx, load, 0, messages)
	}
	streamSource := func(ctx context.Context, t testing.TB, load *truth.Load) (*streamEnd, error) {
		e := newStreamEnd(t, "from", false)
		return e, e.fill(ctx, load, 0, messages)
	}
	fromKafka, fromStream := truth.Load{Run: "r", Size: 100}, truth.Load{Run: "r", Size: 100, Plain: true, Subjects: 10}
	whole, grouped := []truth.Field{truth.Key, truth.Value, truth.Exact, truth.Time}, []truth.Field{truth.Key, truth.Value, truth.Grouped, truth.Time}
	return []pair{
		{"kafka-jetstream", fromKafka, func(ctx context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error) {
			up, err := kafkaSource(ctx, t, load)
			return up, newStreamEnd(t, "to", false), err
		}, whole},
		{"kafka-jetstream-fast", fromKafka, func(ctx context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error) {
			up, err := kafkaSource(ctx, t, load)
			return up, newStreamEnd(t, "to", true), err
		}, whole},
		{"jetstream-kafka", fromStream, func(ctx context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error) {
			up, err := streamSource(ctx, t, load)
			return up, newKafkaEnd(t, "to", 3), err
		}, grouped},
		{"kafka-kafka", fromKafka, func(ctx context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error) {
			up, err := kafkaSource(ctx, t, load)
			return up, newKafkaEnd(t, "to", 3), err
		}, whole},
		// The key is what a stream has not: the reader takes a native message's subject for it.
		{"jetstream-jetstream", fromStream, func(ctx context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error) {
			up, err := streamSource(ctx, t, load)
			return up, newStreamEnd(t, "to", true), err
		}, []truth.Field{truth.Value, truth.Grouped, truth.Time}},
		{"kafka-nats", fromKafka, func(ctx context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error) {
			up, err := kafkaSource(ctx, t, load)
			return up, newSubjectEnd(t, "to"), err
		}, whole},
		// The requesters ask again what was not answered.
		{"nats-kafka", fromStream, func(_ context.Context, t testing.TB, load *truth.Load) (upstream, downstream, error) {
			up, err := newRequests(t, load, "reply")
			return up, newKafkaEnd(t, "to", 3), err
		}, []truth.Field{truth.Key, truth.Value, truth.Grouped}},
	}
}

// plans are the kills of a chain: every point, at its first passage and at one in the middle of work.
func plans() (all []Plan) {
	for _, passage := range []int{1, 3} {
		for _, p := range Points() {
			all = append(all, Plan{p, passage})
		}
	}
	return all
}

// Killed at every step from Fetch to Commit, a route loses nothing, doubles nothing but what was written
// and not committed, and never commits what is not written; whatever the pair.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c, err := p.crash(ctx, t, "")
			if err != nil {
				t.Fatal(err)
			}
			c.report(t)
		})
	}
}

// crash runs a chain through all plans, and kills it twice more in the middle of what it sends. It ends
// with the first life in which something is wrong.
func (p *pair) crash(ctx context.Context, t testing.TB, program string) (*chain, error) {
	up, down, err := p.open(ctx, t, &p.load)
	if err != nil {
		return nil, err
	}
	c, err := newChain(ctx, t, program, up, down, &p.load, p.same...)
	if err != nil {
		return nil, err
	}
	for _, plan := range plans() {
		if err := c.kill(ctx, plan); err != nil || len(c.findings) > 0 {
			return c, err
		}
	}
	for _, bytes := range []int64{3000, 30_000} {
		if err := c.cut(ctx, bytes); err != nil || len(c.findings) > 0 {
			return c, err
		}
	}
	return c, c.finish(ctx)
}
