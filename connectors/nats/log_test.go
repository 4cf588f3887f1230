package nats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

func TestLogConformance(t *testing.T) {
	srv := startServer(t, nil)
	js, err := jetstream.New(client(t, srv.ClientURL()))
	if err != nil {
		t.Fatal(err)
	}
	var streams atomic.Int64
	place := func(t testing.TB, retention jetstream.RetentionPolicy) (stream jetstream.Stream, name, config string) {
		name = fmt.Sprintf("C%d", streams.Add(1))
		stream, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, Retention: retention})
		if err != nil {
			t.Fatal(err)
		}
		return stream, name, "{servers: [" + srv.Addr().String() + "], stream: " + name
	}
	remove := func(stream jetstream.Stream) func(testing.TB, ...int64) {
		return func(t testing.TB, positions ...int64) {
			for _, at := range positions {
				if err := stream.DeleteMsg(context.Background(), uint64(at)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	settings := connectortest.Settings{Goroutines: serverGoroutines()}
	for name, retention := range map[string]jetstream.RetentionPolicy{"limits": jetstream.LimitsPolicy, "work queue": jetstream.WorkQueuePolicy} {
		t.Run("source of "+name, func(t *testing.T) {
			connectortest.Log(t, connectortest.LogHarness{Settings: settings, New: func(t testing.TB) connectortest.Logged {
				stream, name, config := place(t, retention)
				source := func(t testing.TB) *connectors.SourceSpec {
					return connectortest.SourceSpec(t, JetStream(), config+"}")
				}
				return connectortest.Logged{
					Partition: name, Remove: remove(stream), Source: source, Log: source(t).Log,
					Put: func(t testing.TB, messages ...connectors.Message) {
						for i := range messages {
							putLogged(t, js, name+".x", messages[i])
						}
					},
				}
			}})
		})
	}
	t.Run("sink", func(t *testing.T) {
		connectortest.Log(t, connectortest.LogHarness{Settings: settings, New: func(t testing.TB) connectortest.Logged {
			stream, name, config := place(t, jetstream.LimitsPolicy)
			sink := func(t testing.TB) *connectors.SinkSpec {
				return connectortest.SinkSpec(t, JetStream(), config+", subject: '"+name+".{{ topic }}'}")
			}
			return connectortest.Logged{Partition: name, Remove: remove(stream), Sink: sink, Log: sink(t).Log}
		}})
	})
}

// putLogged stores a message as a Sluice sink writes it, with the Sluice-Origin it has.
func putLogged(t testing.TB, js jetstream.JetStream, subject string, m connectors.Message) {
	t.Helper()
	brought := connectors.FindOrigin(m.Headers)
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h connectors.Header) bool { return h.Key == headerOrigin })
	e := headerEncoder{add: true}
	block, err := e.append(nil, &connectors.Batch{}, &m)
	if err != nil {
		t.Fatal(err)
	}
	header := nats.Header{}
	if len(block) > 0 {
		if header, err = nats.DecodeHeadersMsg(block); err != nil {
			t.Fatal(err)
		}
	}
	if brought != nil {
		header[headerOrigin] = []string{string(brought)}
	}
	if _, err := js.PublishMsg(context.Background(), &nats.Msg{Subject: subject, Header: header, Data: m.Value}); err != nil {
		t.Fatal(err)
	}
}

func logContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// openTestLog opens the log of a source of the test's stream.
func (st *streamTest) openTestLog(config string) connectors.Log {
	st.t.Helper()
	spec := connectortest.SourceSpec(st.t, JetStream(), "{servers: ["+st.server.Addr().String()+"], stream: S"+config+"}")
	l, err := spec.Log(st.t.Context(), connectors.Env{Route: "r"})
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func readValues(t *testing.T, l connectors.Log, from, to int64) (all []string) {
	t.Helper()
	if err := l.Read(logContext(t), "S", from, to, func(m *connectors.Message) error {
		all = append(all, string(m.Value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// A source's log is of the subjects that the source reads, be they its own or its durable's.
func TestLogOfSubjects(t *testing.T) {
	st := newStreamTest(t, nil)
	for i := range 60 {
		for _, subject := range []string{"s.a.1", "s.b.1", "s.c.1"} {
			st.publishTo(subject, i, 1)
		}
	}
	if _, err := st.js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "bound", FilterSubjects: []string{"s.a.*", "s.b.*"}}); err != nil {
		t.Fatal(err)
	}
	for config, want := range map[string]int{
		"": 180, ", subjects: s.a.*": 60, ", subjects: [s.a.*, s.c.1]": 120, ", durable: bound": 120, ", subjects: s.none": 0,
	} {
		l := st.openTestLog(config)
		if got := readValues(t, l, 0, 1000); len(got) != want {
			t.Errorf("%q: %d messages, want %d", config, len(got), want)
		}
		if got := readValues(t, l, 10, 13); len(got) != want/60 {
			t.Errorf("%q: %d messages of three, want %d", config, len(got), want/60)
		}
	}
}

// What nats.go takes for a word of the server's is a message.
func TestLogOfOddMessages(t *testing.T) {
	st := newStreamTest(t, nil)
	st.publish(0, 50)
	for _, status := range []string{"100"} {
		if _, err := st.js.PublishMsg(t.Context(), &nats.Msg{Subject: "s.x", Header: nats.Header{"Status": {status}}}); err != nil {
			t.Fatal(err)
		}
	}
	st.publish(50, 50)
	if got := readValues(t, st.openTestLog(""), 0, 1000); len(got) != 101 || got[50] != "" || got[100] != "99" {
		t.Errorf("%d messages, the last %q", len(got), got[len(got)-1:])
	}
}

// A log leaves nothing behind and keeps nobody from anything.
func TestLogLeavesNoConsumer(t *testing.T) {
	st := newStreamTest(t, nil)
	st.publish(0, 100)
	readValues(t, st.openTestLog(""), 0, 1000)
	ctx := logContext(t)
	for names := []string{""}; len(names) > 0; {
		names = nil
		stream, err := st.js.Stream(ctx, "S")
		if err != nil {
			t.Fatal(err)
		}
		for name := range stream.ConsumerNames(ctx).Name() {
			names = append(names, name)
		}
		wait(ctx, time.Millisecond)
	}
}

// A server that was given no name makes up another one at each start. Its streams stay the same ones.
func TestOriginLasts(t *testing.T) {
	var origins []string
	dir := t.TempDir()
	for range 2 {
		srv := startServer(t, func(o *server.Options) { o.StoreDir = dir })
		js, err := jetstream.New(client(t, srv.ClientURL()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
			t.Fatal(err)
		}
		all, err := (&streamTest{t: t, server: srv}).openTestLog("").Ranges(logContext(t))
		if err != nil {
			t.Fatal(err)
		}
		origins = append(origins, all[0].Origin)
		stopServer(srv)
	}
	if origins[0] != origins[1] || !strings.HasSuffix(origins[0], "/S") {
		t.Errorf("%q", origins)
	}
}

func TestLogOfAnotherPartition(t *testing.T) {
	st := newStreamTest(t, nil)
	l := st.openTestLog("")
	if _, err := l.Find(logContext(t), "T", time.Now()); err == nil || !strings.Contains(err.Error(), "not a partition of stream S") {
		t.Errorf("Find: %v", err)
	}
	if err := l.Read(logContext(t), "T", 0, 1, nil); err == nil {
		t.Error("Read of another partition is no error")
	}
}

func TestLogUnreachable(t *testing.T) {
	spec := connectortest.SinkSpec(t, JetStream(), "{servers: [127.0.0.1:1], stream: S, subject: s}")
	l, err := spec.Log(t.Context(), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := l.Ranges(ctx); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
}

// TestLogForbidden: a user who may write and not read is told so for good, whichever way of reading it is.
func TestLogForbidden(t *testing.T) {
	for name, deny := range map[string][]string{
		"consumers":    {"$JS.API.CONSUMER.CREATE.>"},
		"single":       {"$JS.API.STREAM.MSG.GET.>"},
		"even looking": {"$JS.API.STREAM.INFO.>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, func(o *server.Options) {
				o.Users = []*server.User{{Username: "all", Password: "p"}, {Username: "u", Password: "p", Permissions: &server.Permissions{
					Publish: &server.SubjectPermission{Deny: deny},
				}}}
			})
			st := &streamTest{t: t, server: s}
			st.connectAs("all", "p")
			if _, err := st.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
				t.Fatal(err)
			}
			st.publish(1, 100)
			spec := connectortest.SinkSpec(t, JetStream(), fmt.Sprintf("{servers: [%q], user: u, password: p, stream: S, subject: s.x}", s.ClientURL()))
			l, err := spec.Log(t.Context(), connectors.Env{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close(t.Context())
			_, err = l.Ranges(logContext(t))
			few := int64(2)
			if name == "consumers" {
				few = 100
			}
			if err == nil {
				err = l.Read(logContext(t), "S", 1, few, func(*connectors.Message) error { return nil })
			}
			if !connectors.IsPermanent(err) || !strings.Contains(err.Error(), "no permission") {
				t.Errorf("%v", err)
			}
		})
	}
}
