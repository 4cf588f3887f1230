package wire

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What we append is what franz-go's generated encoders append.
func TestRequestsMatchFranz(t *testing.T) {
	id := "static-1"
	m := Member{Group: "g", Generation: 7, ID: "m-1", InstanceID: id}
	plain := Member{Group: "g", Generation: 7, ID: "m-1"}
	offsets := []Offset{{Topic: "a", Partition: 0, Offset: 5, Epoch: -1, Metadata: "x"}, {Topic: "a", Partition: 3, Offset: 6, Epoch: -1}, {Topic: "b", Partition: 1, Offset: 7, Epoch: 2}}
	empty := ""
	x := "x"
	for name, test := range map[string]struct {
		got     []byte
		version int16
		want    kmsg.Request
	}{
		"fetch": {
			AppendFetch(nil, &Fetch{MaxWait: 500 * time.Millisecond, MaxBytes: 1 << 20, ReadCommitted: true, Parts: []FetchPart{
				{"a", 0, -1, 42, 1000}, {"a", 3, 4, 43, 1000}, {"b", 1, -1, 1 << 40, 1 << 40},
			}}), FetchVersion,
			&kmsg.FetchRequest{ReplicaID: -1, MaxWaitMillis: 500, MinBytes: 1, MaxBytes: 1 << 20, IsolationLevel: 1, SessionEpoch: -1, Topics: []kmsg.FetchRequestTopic{
				{Topic: "a", Partitions: []kmsg.FetchRequestTopicPartition{
					{Partition: 0, CurrentLeaderEpoch: -1, FetchOffset: 42, LogStartOffset: -1, PartitionMaxBytes: 1000},
					{Partition: 3, CurrentLeaderEpoch: 4, FetchOffset: 43, LogStartOffset: -1, PartitionMaxBytes: 1000},
				}},
				{Topic: "b", Partitions: []kmsg.FetchRequestTopicPartition{{Partition: 1, CurrentLeaderEpoch: -1, FetchOffset: 1 << 40, LogStartOffset: -1, PartitionMaxBytes: 1<<31 - 1}}},
			}},
		},
		"find coordinator": {AppendFindCoordinator(nil, "g"), FindCoordinatorVersion, &kmsg.FindCoordinatorRequest{CoordinatorKey: "g"}},
		"join": {
			AppendJoin(nil, &Join{Member: m, SessionMS: 1, RebalanceMS: 2, Protocols: []string{"range", "rr"}, Subscription: []byte("s")}), JoinGroupVersion,
			&kmsg.JoinGroupRequest{Group: "g", SessionTimeoutMillis: 1, RebalanceTimeoutMillis: 2, MemberID: "m-1", InstanceID: &id, ProtocolType: "consumer",
				Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("s")}, {Name: "rr", Metadata: []byte("s")}}},
		},
		"sync": {
			AppendSync(nil, &m, []GroupAssignment{{"m-1", []byte("a")}, {"m-2", nil}}), SyncGroupVersion,
			&kmsg.SyncGroupRequest{Group: "g", Generation: 7, MemberID: "m-1", InstanceID: &id,
				GroupAssignment: []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "m-1", MemberAssignment: []byte("a")}, {MemberID: "m-2"}}},
		},
		"heartbeat":        {AppendHeartbeat(nil, &plain), HeartbeatVersion, &kmsg.HeartbeatRequest{Group: "g", Generation: 7, MemberID: "m-1"}},
		"static heartbeat": {AppendHeartbeat(nil, &m), HeartbeatVersion, &kmsg.HeartbeatRequest{Group: "g", Generation: 7, MemberID: "m-1", InstanceID: &id}},
		"leave": {AppendLeave(nil, &plain), LeaveGroupVersion, &kmsg.LeaveGroupRequest{Group: "g",
			Members: []kmsg.LeaveGroupRequestMember{{MemberID: "m-1"}}}},
		"commit": {AppendOffsetCommit(nil, &plain, offsets), OffsetCommitVersion, &kmsg.OffsetCommitRequest{
			Group: "g", Generation: 7, MemberID: "m-1", Topics: []kmsg.OffsetCommitRequestTopic{
				{Topic: "a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 5, LeaderEpoch: -1, Metadata: &x}, {Partition: 3, Offset: 6, LeaderEpoch: -1, Metadata: &empty}}},
				{Topic: "b", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 1, Offset: 7, LeaderEpoch: 2, Metadata: &empty}}},
			}}},
		"offsets": {AppendOffsetFetch(nil, "g", offsets), OffsetFetchVersion, &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{
			{Topic: "a", Partitions: []int32{0, 3}}, {Topic: "b", Partitions: []int32{1}}}}},
		"configs": {AppendDescribeConfigs(nil, []string{"a", "b"}, "retention.ms", "x"), DescribeConfigsVersion, &kmsg.DescribeConfigsRequest{
			Resources: []kmsg.DescribeConfigsRequestResource{
				{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a", ConfigNames: []string{"retention.ms", "x"}},
				{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "b", ConfigNames: []string{"retention.ms", "x"}},
			}}},
		"list": {AppendListOffsets(nil, true, Earliest, offsets[:1]), ListOffsetsVersion, &kmsg.ListOffsetsRequest{ReplicaID: -1, IsolationLevel: 1,
			Topics: []kmsg.ListOffsetsRequestTopic{{Topic: "a", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: -2}}}}}},
	} {
		test.want.SetVersion(test.version)
		if diff := cmp.Diff(test.want.AppendTo(nil), test.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if test.want.IsFlexible() {
			t.Errorf("%s: version %d is flexible", name, test.version)
		}
	}
}

func answer(r kmsg.Response, version int16) []byte {
	r.SetVersion(version)
	return r.AppendTo(nil)
}

func TestAnswersMatchFranz(t *testing.T) {
	id, text := "i", "words"
	node, c, err := ReadCoordinator(answer(&kmsg.FindCoordinatorResponse{ErrorCode: 15, ErrorMessage: &text, NodeID: 9, Host: "h", Port: 1}, FindCoordinatorVersion))
	if node != 9 || c != 15 || err != nil {
		t.Error("coordinator", node, c, err)
	}
	protocol := "range"
	j, err := ReadJoined(answer(&kmsg.JoinGroupResponse{ErrorCode: 3, Generation: 4, Protocol: &protocol, LeaderID: "l", MemberID: "m",
		Members: []kmsg.JoinGroupResponseMember{{MemberID: "m", InstanceID: &id, ProtocolMetadata: []byte("s")}, {MemberID: "n"}}}, JoinGroupVersion))
	want := &Joined{Code: 3, Generation: 4, Protocol: "range", Leader: "l", MemberID: "m", Members: []JoinedMember{{"m", "i", []byte("s")}, {"n", "", []byte{}}}}
	if diff := cmp.Diff(want, j); diff != "" || err != nil {
		t.Error("joined", diff, err)
	}
	given, c, err := ReadSynced(answer(&kmsg.SyncGroupResponse{ErrorCode: 27, MemberAssignment: []byte("a")}, SyncGroupVersion))
	if string(given) != "a" || c != 27 || err != nil {
		t.Error("synced", given, c, err)
	}
	// kafka-go answers Error: nil and Throttle: 69ms to this.
	if c, err := ReadHeartbeat(answer(&kmsg.HeartbeatResponse{ThrottleMillis: 3, ErrorCode: 69}, HeartbeatVersion)); c != 69 || err != nil {
		t.Error("heartbeat", c, err)
	}
	if c, err := ReadLeft(answer(&kmsg.LeaveGroupResponse{Members: []kmsg.LeaveGroupResponseMember{{MemberID: "m", ErrorCode: 25}}}, LeaveGroupVersion)); c != 25 || err != nil {
		t.Error("left", c, err)
	}
	committed, err := ReadCommitted(answer(&kmsg.OffsetCommitResponse{Topics: []kmsg.OffsetCommitResponseTopic{
		{Topic: "a", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 3, ErrorCode: 22}}}}}, OffsetCommitVersion))
	if diff := cmp.Diff([]Offset{{Topic: "a", Partition: 3, Offset: -1, Epoch: -1, Code: 22}}, committed); diff != "" || err != nil {
		t.Error("committed", diff, err)
	}
	offsets, c, err := ReadOffsets(answer(&kmsg.OffsetFetchResponse{ErrorCode: 14, Topics: []kmsg.OffsetFetchResponseTopic{
		{Topic: "a", Partitions: []kmsg.OffsetFetchResponseTopicPartition{{Partition: 1, Offset: 5, LeaderEpoch: 2, Metadata: &text, ErrorCode: 3}}}}}, OffsetFetchVersion))
	if diff := cmp.Diff([]Offset{{Topic: "a", Partition: 1, Offset: 5, Epoch: 2, Metadata: text, Code: 3}}, offsets); diff != "" || c != 14 || err != nil {
		t.Error("offsets", diff, c, err)
	}
	listed, err := ReadListed(answer(&kmsg.ListOffsetsResponse{Topics: []kmsg.ListOffsetsResponseTopic{
		{Topic: "a", Partitions: []kmsg.ListOffsetsResponseTopicPartition{{Partition: 1, Timestamp: 8, Offset: 5, LeaderEpoch: 2}}}}}, ListOffsetsVersion))
	if diff := cmp.Diff([]Offset{{Topic: "a", Partition: 1, Offset: 5, Epoch: 2}}, listed); diff != "" || err != nil {
		t.Error("listed", diff, err)
	}
	configs, err := ReadConfigs(answer(&kmsg.DescribeConfigsResponse{Resources: []kmsg.DescribeConfigsResponseResource{
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a", Configs: []kmsg.DescribeConfigsResponseResourceConfig{
			{Name: "retention.ms", Value: &text, ConfigSynonyms: []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{{Name: "log.retention.ms", Value: &text}}},
			{Name: "secret", IsSensitive: true},
		}},
		{ErrorCode: 29, ErrorMessage: &text, ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "b"},
	}}, DescribeConfigsVersion))
	wantConfigs := []TopicConfig{{Topic: "a", Values: map[string]string{"retention.ms": text}}, {Topic: "b", Code: 29, Values: map[string]string{}}}
	if diff := cmp.Diff(wantConfigs, configs); diff != "" || err != nil {
		t.Error("configs", diff, err)
	}
}

// The consumer protocol, in the versions that other clients write.
func TestConsumerProtocol(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		sub := kmsg.NewConsumerMemberMetadata()
		sub.Version, sub.Topics, sub.UserData, sub.Generation = version, []string{"a", "b"}, []byte("u"), 5
		got, err := ReadSubscription(sub.AppendTo(nil))
		if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" || err != nil {
			t.Errorf("subscription v%d: %s %v", version, diff, err)
		}
	}
	sub := kmsg.NewConsumerMemberMetadata()
	if err := sub.ReadFrom(AppendSubscription(nil, []string{"a"})); err != nil || sub.Version != 1 || len(sub.Topics) != 1 || sub.UserData != nil {
		t.Errorf("our subscription: %+v %v", sub, err)
	}
	parts := []TopicPartitions{{"a", []int32{0, 2}}, {"b", []int32{1}}}
	var theirs kmsg.ConsumerMemberAssignment
	if err := theirs.ReadFrom(AppendAssignment(nil, parts)); err != nil || len(theirs.Topics) != 2 {
		t.Errorf("our assignment: %+v %v", theirs, err)
	}
	got, err := ReadAssignment(theirs.AppendTo(nil))
	if diff := cmp.Diff(parts, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := ReadAssignment(nil); got != nil || err != nil {
		t.Error(got, err)
	}
}

func fetched() *kmsg.FetchResponse {
	r := &kmsg.FetchResponse{ThrottleMillis: 70, SessionID: 0, Topics: []kmsg.FetchResponseTopic{
		{Topic: "a", Partitions: []kmsg.FetchResponseTopicPartition{
			{Partition: 0, HighWatermark: 9, LastStableOffset: 8, LogStartOffset: 2, RecordBatches: []byte("records"), PreferredReadReplica: -1,
				AbortedTransactions: []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 5, FirstOffset: 6}}},
			{Partition: 1, ErrorCode: 1, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1},
		}},
		{Topic: "b", Partitions: []kmsg.FetchResponseTopicPartition{{Partition: 3, RecordBatches: []byte{}}}},
	}}
	r.SetVersion(FetchVersion)
	return r
}

func TestReadFetched(t *testing.T) {
	body := fetched().AppendTo(nil)
	var pool Pool
	got, err := ReadFetched(bytes.NewReader(body), len(body), &pool)
	if err != nil {
		t.Fatal(err)
	}
	records := got.Sections[0].Records
	got.Sections[0].Records = nil
	want := &Fetched{Throttle: 70 * time.Millisecond, Sections: []Section{
		{Topic: "a", Partition: 0, End: 9, Stable: 8, Start: 2, Aborted: []Aborted{{5, 6}}},
		{Topic: "a", Partition: 1, Code: 1, End: -1, Stable: -1, Start: -1},
		{Topic: "b", Partition: 3},
	}}
	if diff := cmp.Diff(want, got); diff != "" || string(records.B) != "records" {
		t.Error(diff, string(records.B))
	}
	for cut := range body {
		if _, err := ReadFetched(bytes.NewReader(body[:cut]), cut, &pool); err == nil {
			t.Errorf("cut at %d: no error", cut)
		}
		if _, err := ReadFetched(bytes.NewReader(body[:cut]), len(body), &pool); err == nil {
			t.Errorf("connection lost at %d: no error", cut)
		}
	}
}

func FuzzReadFetched(f *testing.F) {
	f.Add(fetched().AppendTo(nil))
	f.Add(bytes.Repeat([]byte{0x7f, 0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		var pool Pool
		got, err := ReadFetched(bytes.NewReader(b), len(b), &pool)
		if err != nil {
			return
		}
		again := kmsg.NewPtrFetchResponse()
		again.SetVersion(FetchVersion)
		if err := again.ReadFrom(b); err != nil {
			t.Fatalf("franz-go: %v", err)
		}
		n := 0
		for _, topic := range again.Topics {
			for _, p := range topic.Partitions {
				s := got.Sections[n]
				n++
				var records []byte
				if s.Records != nil {
					records = s.Records.B
				}
				if s.Topic != topic.Topic || s.Partition != p.Partition || !bytes.Equal(records, p.RecordBatches) {
					t.Fatalf("section %d: %+v, franz-go has %+v", n, s, p)
				}
			}
		}
	})
}

// FuzzAnswers feeds hostile answers to every reader: none may panic or allocate by what a count claims.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1, 'a', 0x7f, 0xff, 0xff, 0xff})
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		listed, _ := ReadListed(b)
		committed, _ := ReadCommitted(b)
		offsets, _, _ := ReadOffsets(b)
		parts, _ := ReadAssignment(b)
		topics, _ := ReadSubscription(b)
		configs, _ := ReadConfigs(b)
		if n := max(len(listed), len(committed), len(offsets), len(parts), len(topics), len(configs)); n > len(b) {
			t.Errorf("%d elements from %d bytes", n, len(b))
		}
		if joined, _ := ReadJoined(b); len(joined.Members) > len(b)/8+1 {
			t.Errorf("%d members from %d bytes", len(joined.Members), len(b))
		}
		if given, _, _ := ReadSynced(b); len(given) > len(b) {
			t.Errorf("an assignment of %d bytes from %d", len(given), len(b))
		}
		_, _ = ReadLeft(b)
		_, _ = ReadHeartbeat(b)
		_, _, _ = ReadCoordinator(b)
		flexible := Fields{B: b}
		for range flexible.CompactCount(1) {
			_ = flexible.CompactString()
			flexible.Tags()
		}
	})
}
