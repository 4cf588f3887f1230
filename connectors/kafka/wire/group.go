package wire

// The group protocol in its classic form (KIP-62, static members KIP-345), all in the last version
// before flexible ones, which brokers from 2.3 to 4.x speak. Each request has a function that appends
// its body and each answer one that reads it; the codes in answers are the caller's to judge.

// The API keys and versions of the group protocol.
const (
	FindCoordinatorKey     = 10
	FindCoordinatorVersion = 2
	JoinGroupKey           = 11
	JoinGroupVersion       = 5
	HeartbeatKey           = 12
	HeartbeatVersion       = 3
	LeaveGroupKey          = 13
	LeaveGroupVersion      = 3
	SyncGroupKey           = 14
	SyncGroupVersion       = 3
)

// Member is who asks: a member of a group in a generation.
type Member struct {
	Group      string
	Generation int32
	ID         string // the broker gave it at the first join
	InstanceID string // empty: dynamic membership
}

// TopicPartitions are partitions of one topic.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// AppendFindCoordinator asks any broker who coordinates a group.
func AppendFindCoordinator(dst []byte, group string) []byte {
	return append(AppendString(dst, group), 0) // 0: a group
}

// ReadCoordinator reads the answer to FindCoordinator.
func ReadCoordinator(body []byte) (node int32, code int16, err error) {
	f := Fields{B: body}
	f.Int32() // throttle
	code = f.Int16()
	_ = f.String() // the code in words
	node = f.Int32()
	return node, code, f.Err
}

// Join asks the coordinator to make us a member. It answers when all members have joined.
type Join struct {
	Member
	SessionMS, RebalanceMS int32
	Protocols              []string // assignors, the preferred one first
	Subscription           []byte
}

// AppendJoin appends a JoinGroup request.
func AppendJoin(dst []byte, j *Join) []byte {
	dst = AppendString(dst, j.Group)
	dst = AppendInt32(dst, j.SessionMS)
	dst = AppendInt32(dst, j.RebalanceMS)
	dst = AppendString(dst, j.ID)
	dst = AppendNullable(dst, j.InstanceID)
	dst = AppendString(dst, "consumer")
	dst = AppendInt32(dst, int32(len(j.Protocols)))
	for _, p := range j.Protocols {
		dst = AppendBytes(AppendString(dst, p), j.Subscription)
	}
	return dst
}

// Joined is the answer to Join.
type Joined struct {
	Code       int16
	Generation int32
	Protocol   string
	Leader     string // the member that assigns
	MemberID   string
	Members    []JoinedMember // only for the leader
}

// JoinedMember is a member as the leader sees it.
type JoinedMember struct {
	ID, InstanceID string
	Subscription   []byte
}

// ReadJoined reads the answer to JoinGroup.
func ReadJoined(body []byte) (*Joined, error) {
	f := Fields{B: body}
	f.Int32() // throttle
	j := &Joined{Code: f.Int16(), Generation: f.Int32(), Protocol: f.String(), Leader: f.String(), MemberID: f.String()}
	for range f.Count(8) {
		j.Members = append(j.Members, JoinedMember{ID: f.String(), InstanceID: f.String(), Subscription: f.Bytes()})
	}
	return j, f.Err
}

// GroupAssignment is what the leader gives one member.
type GroupAssignment struct {
	MemberID   string
	Assignment []byte
}

// AppendSync appends a SyncGroup request; all but the leader send no assignments.
func AppendSync(dst []byte, m *Member, assignments []GroupAssignment) []byte {
	dst = appendMember(dst, m)
	dst = AppendInt32(dst, int32(len(assignments)))
	for _, a := range assignments {
		dst = AppendBytes(AppendString(dst, a.MemberID), a.Assignment)
	}
	return dst
}

// ReadSynced reads the answer to SyncGroup.
func ReadSynced(body []byte) (assignment []byte, code int16, err error) {
	f := Fields{B: body}
	f.Int32() // throttle
	code = f.Int16()
	return f.Bytes(), code, f.Err
}

// AppendHeartbeat appends a Heartbeat request.
func AppendHeartbeat(dst []byte, m *Member) []byte { return appendMember(dst, m) }

// ReadHeartbeat reads the answer to Heartbeat.
func ReadHeartbeat(body []byte) (code int16, err error) {
	f := Fields{B: body}
	f.Int32() // throttle; kafka-go reads these two the wrong way round
	return f.Int16(), f.Err
}

// AppendLeave appends a LeaveGroup request.
func AppendLeave(dst []byte, m *Member) []byte {
	dst = AppendInt32(AppendString(dst, m.Group), 1)
	return AppendNullable(AppendString(dst, m.ID), m.InstanceID)
}

// ReadLeft reads the answer to LeaveGroup. An unknown member is told only in the member's own code.
func ReadLeft(body []byte) (code int16, err error) {
	f := Fields{B: body}
	f.Int32() // throttle
	code = f.Int16()
	for range f.Count(6) {
		_, _ = f.String(), f.String()
		if c := f.Int16(); code == 0 {
			code = c
		}
	}
	return code, f.Err
}

func appendMember(dst []byte, m *Member) []byte {
	dst = AppendInt32(AppendString(dst, m.Group), m.Generation)
	return AppendNullable(AppendString(dst, m.ID), m.InstanceID)
}

// AppendSubscription appends what a member tells the leader, in version 1 of the consumer protocol: its
// topics and what it owns, which eager members own nothing of while they join.
func AppendSubscription(dst []byte, topics []string) []byte {
	dst = AppendInt32(AppendInt16(dst, 1), int32(len(topics)))
	for _, t := range topics {
		dst = AppendString(dst, t)
	}
	dst = AppendInt32(dst, -1) // no user data
	return AppendInt32(dst, 0) // owns nothing
}

// ReadSubscription returns the topics of a member. Later versions only add fields behind those.
func ReadSubscription(b []byte) ([]string, error) {
	f := Fields{B: b}
	f.Int16() // version
	var topics []string
	for range f.Count(2) {
		topics = append(topics, f.String())
	}
	return topics, f.Err
}

// AppendAssignment appends what the leader gives a member, in version 0.
func AppendAssignment(dst []byte, parts []TopicPartitions) []byte {
	dst = appendTopics(AppendInt16(dst, 0), parts)
	return AppendInt32(dst, -1) // no user data
}

// ReadAssignment reads what a leader gave us; a member that gets nothing may get no bytes at all.
func ReadAssignment(b []byte) ([]TopicPartitions, error) {
	if len(b) == 0 {
		return nil, nil
	}
	f := Fields{B: b}
	f.Int16() // version
	var parts []TopicPartitions
	for range f.Count(6) {
		p := TopicPartitions{Topic: f.String()}
		for range f.Count(4) {
			p.Partitions = append(p.Partitions, f.Int32())
		}
		parts = append(parts, p)
	}
	return parts, f.Err
}

func appendTopics(dst []byte, parts []TopicPartitions) []byte {
	dst = AppendInt32(dst, int32(len(parts)))
	for _, p := range parts {
		dst = AppendInt32(AppendString(dst, p.Topic), int32(len(p.Partitions)))
		for _, n := range p.Partitions {
			dst = AppendInt32(dst, n)
		}
	}
	return dst
}
