package kafka

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func metadataAnswer(version int16) []byte {
	res := kmsg.NewPtrMetadataResponse()
	res.SetVersion(version)
	cluster, name, rack := "cluster", "orders", "r1"
	res.ClusterID, res.ControllerID = &cluster, 2
	res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 2, Host: "h2", Port: 9092, Rack: &rack}, {NodeID: 1, Host: "::1", Port: 9093}}
	missing := "missing"
	res.Topics = []kmsg.MetadataResponseTopic{
		{Topic: &name, TopicID: [16]byte{1, 2, 3}, Partitions: []kmsg.MetadataResponseTopicPartition{
			{Partition: 1, Leader: 2, LeaderEpoch: 5, Replicas: []int32{1, 2}, ISR: []int32{2}, OfflineReplicas: []int32{1}},
			{Partition: 0, Leader: -1, LeaderEpoch: 4, ErrorCode: 5},
		}},
		{Topic: &missing, ErrorCode: 3},
	}
	return res.AppendTo(nil)
}

func TestMetadata(t *testing.T) {
	for _, version := range []int16{metadataPlain, metadataWithID} {
		want := &metadata{
			ClusterID: "cluster", Brokers: map[int32]string{1: "[::1]:9093", 2: "h2:9092"},
			Topics: map[string]*topic{
				"orders":  {Name: "orders", Partitions: []partition{{Leader: -1, Epoch: 4}, {Leader: 2, Epoch: 5, Replicas: 2, Missing: []int32{1}}}},
				"missing": {Name: "missing", Code: codeUnknownTopicOrPartition, Partitions: []partition{}},
			},
		}
		if version == metadataWithID {
			want.Topics["orders"].ID = [16]byte{1, 2, 3}
		}
		got, err := readMetadata(metadataAnswer(version), version)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("version %d: %v\n%s", version, err, diff)
		}
		req := kmsg.NewPtrMetadataRequest()
		req.SetVersion(version)
		name := "orders"
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		if diff := cmp.Diff(req.AppendTo(nil), appendMetadataRequest(nil, version, []string{name})); diff != "" {
			t.Errorf("request, version %d: %s", version, diff)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(metadataAnswer(metadataPlain), false)
	f.Add(metadataAnswer(metadataWithID), true)
	f.Fuzz(func(t *testing.T, body []byte, flexible bool) {
		version := int16(metadataPlain)
		if flexible {
			version = metadataWithID
		}
		m, err := readMetadata(body, version)
		if err != nil {
			return
		}
		for _, topic := range m.Topics {
			if len(topic.Partitions)*18 > len(body) {
				t.Errorf("%d partitions from %d bytes", len(topic.Partitions), len(body))
			}
		}
	})
}
