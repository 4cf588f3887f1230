package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-bridge/sluice/connectors"
)

// askClock compares this machine's clock with that of the controller's leader, which tells when it last saw each
// voter: itself, now (KIP-595 with the times of KIP-836). No request tells it of the other brokers, and none
// without the right to describe the cluster.
func (e *examiner) askClock(ctx context.Context) []connectors.Finding {
	begin := time.Now()
	request := kmsg.NewPtrDescribeQuorumRequest()
	topic, part := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
	topic.Topic, topic.Partitions = "__cluster_metadata", append(topic.Partitions, part)
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, e.admin.client)
	if err != nil {
		answer = nil
	}
	return judgeClock(answer, begin, time.Now())
}

// judgeClock looks for what the leader says of itself; answer is nil where there was none.
func judgeClock(answer *kmsg.DescribeQuorumResponse, asked, answered time.Time) []connectors.Finding {
	if answer != nil && len(answer.Topics) == 1 && len(answer.Topics[0].Partitions) == 1 {
		p := &answer.Topics[0].Partitions[0]
		for _, v := range p.CurrentVoters {
			if v.ReplicaID == p.LeaderID && v.LastCaughtUpTimestamp > 0 {
				return connectors.Clock(fmt.Sprintf("node %d, which leads the controllers,", p.LeaderID), time.UnixMilli(v.LastCaughtUpTimestamp), asked, answered)
			}
		}
	}
	return connectors.Found(connectors.Fine, "", "the brokers do not tell their time; of a skew only messages' times could tell")
}
