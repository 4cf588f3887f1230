//go:build integration

package acceptance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/deploy"
	"github.com/sluice-bridge/sluice/integration/truth"
	"github.com/sluice-bridge/sluice/telemetry/telemetrytest"
)

// The command and the configuration of the compose file's sluice, with only the hosts' names replaced,
// move messages and send what they see to the collector.
func TestComposeFile(t *testing.T) {
	s := newScene(t, 5*time.Minute)
	project, err := deploy.Compose(s.ctx, "../../docker-compose.yml")
	s.must(err)
	collector := telemetrytest.New(t)
	service := project.Services["sluice"]
	args := []string(service.Command)
	for _, config := range service.Configs {
		text := strings.NewReplacer(
			"kafka:19092", suite.pair.Kafka.Addr, "nats://nats:4222", suite.pair.NATS.URL, "jetstream://nats:4222", jetStreamURL(),
			"http://jaeger:4317", collector.HTTP(), "0.0.0.0:4280", "127.0.0.1:0",
		).Replace(project.Configs[config.Source].Content)
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		s.must(os.WriteFile(file, []byte(text), 0o600))
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], config.Target, file)
		}
	}
	s.orders()
	d := suite.sluice.Run(t, args)
	s.daemon = d
	s.inStream(1000, time.Minute)
	s.end(d)
	s.clean(s.compareToStream())
	if points := collector.Points("sluice.acknowledged.messages"); len(points) == 0 {
		t.Error("the collector got no metrics")
	}
}

// jetStreamURL is the server's address with the scheme of the short form.
func jetStreamURL() string { return strings.Replace(suite.pair.NATS.URL, "nats://", "jetstream://", 1) }

// orders makes what the README and the compose file presuppose: a topic orders with 1000 messages and
// a stream ORDERS that takes the subject orders and all below it.
func (s *scene) orders() {
	s.Helper()
	s.topic.Name, s.stream.Name = "orders", "ORDERS"
	s.must(s.topic.Create(s.ctx, 4, nil))
	s.Cleanup(func() { _ = s.topic.Delete(context.WithoutCancel(s.ctx)) })
	s.must(s.stream.Create(s.ctx, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew }, "orders", "orders.>"))
	s.Cleanup(func() { _ = s.stream.Delete(context.WithoutCancel(s.ctx)) })
	s.must(truth.Topic{Addr: s.topic.Addr, Name: "orders"}.Write(s.ctx, s.load, 0, 1000, 0))
}
