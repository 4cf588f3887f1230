package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/connectortest"
)

// examineAs examines a source of topic orders, with more in its section.
func examineAs(t *testing.T, c *kfake.Cluster, more string) map[string][]connectors.Finding {
	t.Helper()
	spec := connectortest.SourceSpec(t, Plugin(), fmt.Sprintf("brokers: [%s]\ntopics: orders\ngroup: ours\n%s", strings.Join(c.ListenAddrs(), ", "), more))
	x, err := spec.Examine(connectors.Env{Route: "test"})
	return connectortest.Examine(t, x, err)
}

// wantBad wants these codes, and a word in the way out of each.
func wantBad(t *testing.T, found map[string][]connectors.Finding, want map[string]connectors.Level, way string) {
	t.Helper()
	if diff := cmp.Diff(want, connectortest.Bad(found)); diff != "" {
		t.Fatalf("%s\nof %+v", diff, found)
	}
	for code := range want {
		if f := found[code][0]; !strings.Contains(f.Way, way) {
			t.Errorf("%s: the way out is %q, want %q in it", code, f.Way, way)
		}
	}
}

func TestExamineFindsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "orders", offsetsTopic))
	found := examineAs(t, c, "")
	wantBad(t, found, map[string]connectors.Level{}, "")
	if len(found) != 10 {
		t.Errorf("%d checks were asked: %+v", len(found), found)
	}
	sink := connectortest.SinkSpec(t, Plugin(), fmt.Sprintf("brokers: [%s]\ntopic: orders", c.ListenAddrs()[0]))
	x, err := sink.Examine(connectors.Env{Route: "test"}, nil)
	wantBad(t, connectortest.Examine(t, x, err), map[string]connectors.Level{}, "")
	if l, ok := x.Largest(); !ok || l.Bytes != 1<<20 || l.Name != "max_message of the sink" || !strings.Contains(l.Change(2<<20), "max.message.bytes=2097152; and max_message: 2MiB") {
		t.Errorf("the largest message is %+v, %v", l, ok)
	}
}

func TestExamineTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	// No coordinator is looked for where that would make the brokers create a topic.
	for _, key := range []kmsg.Key{kmsg.FindCoordinator, kmsg.DescribeGroups, kmsg.Heartbeat} {
		c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			t.Errorf("the brokers were asked %s", key.Name())
			return nil, nil, false
		})
	}
	wantBad(t, examineAs(t, c, ""), map[string]connectors.Level{"kafka.topic": connectors.Failed},
		"kafka-topics.sh --bootstrap-server "+c.ListenAddrs()[0]+" --create --topic orders --partitions 4 --replication-factor 1")
}

func TestExamineLogin(t *testing.T) {
	t.Parallel()
	acl := func(resource kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	reads := acl(kmsg.ACLResourceTypeTopic, "orders", kmsg.ACLOperationRead)
	joins := acl(kmsg.ACLResourceTypeGroup, "ours", kmsg.ACLOperationRead)
	sees := acl(kmsg.ACLResourceTypeTopic, "orders", kmsg.ACLOperationDescribe)
	for name, of := range map[string]struct {
		acls     []kfake.ACL
		password string
		bad      map[string]connectors.Level
		way      string
	}{
		"all":            {[]kfake.ACL{reads, joins, sees}, "p", map[string]connectors.Level{}, ""},
		"wrong password": {nil, "q", map[string]connectors.Level{"kafka.login": connectors.Failed}, "-X sasl.username=alice"},
		"no group": {[]kfake.ACL{reads, sees}, "p", map[string]connectors.Level{"kafka.group": connectors.Failed},
			"--add --allow-principal User:alice --operation READ --operation DESCRIBE --group ours"},
		"no reading": {[]kfake.ACL{sees, joins}, "p", map[string]connectors.Level{"kafka.permission": connectors.Failed},
			"--add --allow-principal User:alice --operation READ --operation DESCRIBE --topic orders"},
		"nothing of the topic": {[]kfake.ACL{joins}, "p", map[string]connectors.Level{"kafka.topic": connectors.Failed}, "--operation DESCRIBE --topic orders"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, kfake.SeedTopics(1, "orders", offsetsTopic), kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "alice", "p", of.acls...))
			wantBad(t, examineAs(t, c, "username: alice\npassword: "+of.password), of.bad, of.way)
		})
	}
}

// What listens is no broker.
func TestExamineAnotherServer(t *testing.T) {
	t.Parallel()
	address := connectortest.NoBroker(t)
	spec := connectortest.SinkSpec(t, Plugin(), fmt.Sprintf("brokers: [%q]\ntopic: orders\ndial_timeout: 1s", address))
	x, err := spec.Examine(connectors.Env{Route: "test"}, nil)
	wantBad(t, connectortest.Examine(t, x, err), map[string]connectors.Level{"kafka.api": connectors.Failed}, "kafka-broker-api-versions.sh --bootstrap-server "+address)
}

// The broker answers, and sends its clients where there is nobody, nobody known, or another cluster.
func TestExamineAdvertised(t *testing.T) {
	t.Parallel()
	c, other := newCluster(t), newCluster(t, kfake.ClusterID("another"))
	for address, want := range map[string]string{
		"127.0.0.1:1":          "cannot be reached from here",
		"kafka.invalid:19092":  "does not resolve from here",
		other.ListenAddrs()[0]: "is from here a broker of another cluster (another, not ",
		c.ListenAddrs()[0]:     "",
	} {
		cfg := defaultConnection()
		cfg.Brokers = c.ListenAddrs()
		e, err := newExaminer(&cfg, &connectors.Env{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := e.conn.refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		moved := *m
		moved.Brokers = map[int32]string{7: address}
		e.conn.cache.Store(&moved)
		f := e.askAdvertised(t.Context())
		if (want == "") != (f[0].Level == connectors.Fine) || !strings.Contains(f[0].Text, want) {
			t.Errorf("%s: %+v", address, f)
		}
		if want != "" && (!strings.Contains(f[0].Text, "advertises broker 7 at "+address) || !strings.Contains(f[0].Way, "advertised.listeners=PLAINTEXT://"+c.ListenAddrs()[0])) {
			t.Errorf("%s: %+v", address, f)
		}
		e.close(t.Context())
	}
}

// A group that others read, and one that is none of consumers.
func TestExamineGroup(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders", "others", offsetsTopic))
	client := newClient(t, c, kgo.ConsumerGroup("ours"), kgo.ConsumeTopics("others"), kgo.ClientID("report"))
	joined, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		if _, g := client.GroupMetadata(); g >= 0 {
			break
		}
		client.PollFetches(short(joined, t))
		if joined.Err() != nil {
			t.Fatal("it does not join")
		}
	}
	found := examineAs(t, c, "")
	wantBad(t, found, map[string]connectors.Level{"kafka.group": connectors.Warning}, "group: ours-2")
	if !strings.Contains(found["kafka.group"][0].Text, "report at 127.0.0.1") {
		t.Error(found["kafka.group"])
	}
	c.ControlKey(int16(kmsg.DescribeGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State, g.ProtocolType = "ours", "Stable", "connect"
		answer.Groups = append(answer.Groups, g)
		return answer, nil, true
	})
	wantBad(t, examineAs(t, c, ""), map[string]connectors.Level{"kafka.group": connectors.Failed}, "group: ours-2")
}

// short is a context for one poll.
func short(ctx context.Context, t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// The leader of the controllers tells its time.
func TestExamineClock(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "orders"))
	cfg := defaultConnection()
	cfg.Brokers = c.ListenAddrs()
	e, err := newExaminer(&cfg, &connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.close(t.Context())
	answer := kmsg.NewPtrDescribeQuorumResponse()
	body := fmt.Sprintf(`{"Topics": [{"Partitions": [{"LeaderID": 2, "CurrentVoters": [
		{"ReplicaID": 1, "LastCaughtUpTimestamp": 1}, {"ReplicaID": 2, "LastCaughtUpTimestamp": %d}]}]}]}`, time.Now().Add(-time.Hour).UnixMilli())
	if err := json.Unmarshal([]byte(body), answer); err != nil {
		t.Fatal(err)
	}
	if f := judgeClock(answer, time.Now(), time.Now()); f[0].Level != connectors.Warning || !strings.Contains(f[0].Text, "node 2, which leads the controllers, is 1h0m0s behind") {
		t.Errorf("%+v", f)
	}
	if f := e.askClock(t.Context()); f[0].Level != connectors.Fine {
		t.Errorf("brokers that do not tell: %+v", f)
	}
}

// What a topic's settings may cost, at either end.
func TestJudgeSettings(t *testing.T) {
	cfg := defaultConnection()
	cfg.Brokers = connectors.List{"k:9092"}
	c := SinkConfig{Connection: cfg, Topic: "orders", MaxMessage: 1 << 20}
	for name, of := range map[string]struct {
		source           bool
		replicas, inSync int
		values           map[string]string
		want             string // in the way out; empty: nothing is found
		level            connectors.Level
	}{
		"sound source":       {true, 1, 1, map[string]string{"retention.ms": "604800000", "cleanup.policy": "delete"}, "", 0},
		"short retention":    {true, 1, 1, map[string]string{"retention.ms": "60000", "cleanup.policy": "delete"}, "retention.ms=604800000", connectors.Warning},
		"compacted":          {true, 1, 1, map[string]string{"retention.ms": "60000", "cleanup.policy": "compact"}, "", 0},
		"unclean":            {true, 3, 3, map[string]string{"unclean.leader.election.enable": "true"}, "unclean.leader.election.enable=false", connectors.Warning},
		"sound sink":         {false, 3, 3, map[string]string{"min.insync.replicas": "2"}, "", 0},
		"one of three":       {false, 3, 3, map[string]string{"min.insync.replicas": "1"}, "min.insync.replicas=2", connectors.Warning},
		"all of three":       {false, 3, 3, map[string]string{"min.insync.replicas": "3"}, "min.insync.replicas=2", connectors.Warning},
		"too few in sync":    {false, 3, 1, map[string]string{"min.insync.replicas": "2"}, "min.insync.replicas=1", connectors.Failed},
		"one replica":        {false, 1, 1, map[string]string{"min.insync.replicas": "1"}, "kafka-reassign-partitions.sh", connectors.Warning},
		"the broker's time":  {false, 3, 3, map[string]string{"min.insync.replicas": "2", "message.timestamp.type": "LogAppendTime"}, "message.timestamp.type=CreateTime", connectors.Warning},
		"unclean at the end": {false, 3, 3, map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "true"}, "=false", connectors.Warning},
	} {
		e := &examiner{cfg: &cfg}
		s := settings{topic: "orders", values: of.values, replicas: of.replicas, inSync: of.inSync, brokers: 3}
		judge := func(s settings) []connectors.Finding { return e.judgeSink(&c, s) }
		if of.source {
			judge = e.judgeSource
		}
		f := judge(s)
		if len(f) != 1 || f[0].Level != of.level || !strings.Contains(f[0].Way, of.want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
