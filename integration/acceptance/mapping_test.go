//go:build integration

package acceptance

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/integration/daemon"
	"github.com/sluice-bridge/sluice/integration/truth"
)

// TestMapping: a filter, expressions in each key of a map, and headers, at both real brokers: what arrives is what
// should, `sluice verify` says so by the same configuration, and says that it differs by another.
func TestMapping(t *testing.T) {
	id := fmt.Sprintf(`headers["%s"]`, truth.IDHeader)
	// Each tenth message does not pass.
	filter := fmt.Sprintf("    filter: 'not (%s endsWith \"7\")'\n", id)
	headers := `headers: {drop: ["content-*"], rename: {step: stage}, set: {number: "{{ last }}", route: "{{ route }}/{{ offset }}"}}`
	headers = strings.Replace(headers, "last", strings.ReplaceAll(fmt.Sprintf(`split(%s, "/")[1]`, id), `"`, `\"`), 1)
	for i, config := range []func(*scene) string{
		func(s *scene) string {
			return strings.Replace(s.toStream(filter), fmt.Sprintf(`map: {subject: "%s.{{ partition }}"}`, s.name),
				fmt.Sprintf("map: {subject: '%s.{{ partition %% 2 }}.{{ key }}', %s}", s.name, headers), 1)
		},
		func(s *scene) string {
			return s.toTopic("", filter+fmt.Sprintf("    map: {key: '{{ tokens[1] }}', partition: '{{ int(tokens[1]) %% 4 }}', %s}\n", headers))
		},
	} {
		way := &directions[i]
		t.Run([]string{"to-stream", "to-topic"}[i], func(t *testing.T) {
			s := newScene(t, 5*time.Minute)
			s.load.Plain = i == 1
			s.create(nil)
			const n = 10_000
			s.must(way.fill(s, s.ctx, 0, n, 0))
			yaml := config(s)
			d := s.start(yaml)
			d.Until(s.ctx, t, "all done", func(r *daemon.Route) bool { return r.Counts.Committed == n })
			r, err := d.Status(s.ctx)
			s.must(err)
			if r.Counts.Filtered != n/10 || r.Counts.Dropped+r.Counts.DeadLettered != 0 {
				t.Errorf("%+v", r.Counts)
			}
			s.end(d)
			report, _, _, code := s.verify(yaml)
			filtered := int64(0)
			for _, p := range report.Partitions {
				filtered += p.Filtered
			}
			if code != 0 || filtered != n/10 || report.SourceMessages != n*9/10 || report.SinkMessages != n*9/10 {
				t.Errorf("exit code %d, %d filtered: %s %+v", code, filtered, report.Verdict(), report.Findings)
			}
			if other, _, _, code := s.verify(strings.Replace(yaml, "/{{ offset }}", "", 1)); code != 1 || other.Counts["altered"] != n*9/10 {
				t.Errorf("with another map: exit code %d, %s", code, other.Verdict())
			}
			row("mapping %s: %d messages, %d filtered: %s", way.name, n, filtered, report.Verdict())
			s.mapped(i == 0)
		})
	}
}

// mapped looks at what arrived with clients that are not ours.
func (s *scene) mapped(toStream bool) {
	s.Helper()
	n := 0
	look := func(headers map[string]string) {
		n++
		origin := headers["Sluice-Origin"]
		_, number, _ := strings.Cut(headers[truth.IDHeader], "/")
		at := origin[strings.LastIndexByte(origin, '/')+1 : strings.IndexByte(origin, ';')]
		if _, there := headers["content-type"]; there || headers["number"] != number || headers["route"] != s.name+"/"+at || headers["step"] != "" {
			s.Fatalf("%v", headers)
		}
	}
	if toStream {
		s.must(s.stream.Read(s.ctx, func(m jetstream.Msg, _ *jetstream.MsgMetadata) {
			headers := map[string]string{}
			for name := range m.Headers() {
				headers[name] = m.Headers().Get(name)
			}
			look(headers)
		}))
	} else {
		s.must(s.topic.Read(s.ctx, func(m *truth.Message, partition int32, _ int64) {
			headers := map[string]string{}
			for _, h := range m.Headers {
				headers[h.Name] = string(h.Value)
			}
			look(headers)
			if token, err := strconv.Atoi(string(m.Key)); err != nil || token%4 != int(partition) {
				s.Fatalf("key %q in partition %d", m.Key, partition)
			}
		}))
	}
	if n != 9_000 {
		s.Errorf("%d messages", n)
	}
}
