package kafka

import (
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
)

// code is an error code of the Kafka protocol.
type code int16

// The codes that something here acts on by name. All others are only classified.
const (
	codeNone                    code = 0
	codeOffsetOutOfRange        code = 1
	codeCorruptMessage          code = 2
	codeUnknownTopicOrPartition code = 3
	codeLeaderNotAvailable      code = 5
	codeNotLeader               code = 6
	codeRequestTimedOut         code = 7
	codeMessageTooLarge         code = 10
	codeNetworkException        code = 13
	codeCoordinatorLoading      code = 14
	codeCoordinatorNotAvailable code = 15
	codeNotCoordinator          code = 16
	codeNotEnoughAfterAppend    code = 20
	codeIllegalGeneration       code = 22
	codeUnknownMemberID         code = 25
	codeRebalanceInProgress     code = 27
	codeTopicAuthorization      code = 29
	codeGroupAuthorization      code = 30
	codeClusterAuthorization    code = 31
	codeOutOfOrderSequence      code = 45
	codeDuplicateSequence       code = 46
	codeInvalidProducerEpoch    code = 47
	codeUnknownProducerID       code = 59
	codeFencedLeaderEpoch       code = 74
	codeUnknownLeaderEpoch      code = 75
	codeMemberIDRequired        code = 79
	codeFencedInstanceID        code = 82
	codeProducerFenced          code = 90
	codeUnknownTopicID          code = 100
)

// class says what to do about an error code. It is the one place that decides.
type class uint8

const (
	classRetry         class = iota // the same request again after a backoff
	classRefresh                    // the same, after asking for metadata: the leader is elsewhere
	classCoordinator                // the same, after asking who coordinates the group
	classRefused                    // this message, or one of this batch, will never be accepted
	classSequence                   // the partition does not know our producer or its sequence
	classMember                     // the group does not know us in this generation: join again
	classMisconfigured              // nothing helps but an operator; tried again, for operators do help
)

func (c code) class() class {
	switch c {
	case codeUnknownTopicOrPartition, codeLeaderNotAvailable, codeNotLeader, 8, 9, 56, 72,
		codeFencedLeaderEpoch, codeUnknownLeaderEpoch, codeUnknownTopicID, 103:
		return classRefresh
	case codeCoordinatorLoading, codeCoordinatorNotAvailable, codeNotCoordinator:
		return classCoordinator
	case codeCorruptMessage, codeMessageTooLarge, 17, 18, 32, 42, 43, 76, 87:
		return classRefused
	case codeOutOfOrderSequence, codeInvalidProducerEpoch, 49, codeUnknownProducerID, codeProducerFenced:
		return classSequence
	case codeIllegalGeneration, codeUnknownMemberID, codeRebalanceInProgress, codeMemberIDRequired, codeFencedInstanceID:
		return classMember
	case 23, 24, 26, 28, codeTopicAuthorization, codeGroupAuthorization, codeClusterAuthorization,
		33, 34, 35, 44, 53, 58, 65, 81:
		return classMisconfigured
	default:
		return classRetry // what nobody knows is not a reason to lose a message
	}
}

// ways says what the operator can do, where the code alone tells.
var ways = map[code]string{
	codeUnknownTopicOrPartition: "create the topic, or wait: it is tried again",
	codeMessageTooLarge:         "raise the topic's max.message.bytes and this sink's max_message, or choose an on_reject policy",
	17:                          "correct the topic's name",
	codeNotEnoughAfterAppend:    "the topic's min.insync.replicas is not met: bring replicas back",
	19:                          "the topic's min.insync.replicas is not met: bring replicas back",
	codeTopicAuthorization:      "grant the user access to the topic",
	codeGroupAuthorization:      "grant the user READ on the group",
	codeClusterAuthorization:    "grant the user IDEMPOTENT_WRITE on the cluster",
	32:                          "its time is outside of the topic's message.timestamp.before/after.max.ms",
	33:                          "enable SASL PLAIN at the broker, or leave the username out",
	35:                          "Kafka 2.4 or later is needed",
	58:                          "correct username and password",
	87:                          "the topic may be compacted, which needs a key for every message",
	codeFencedInstanceID:        "another process uses the same instance_id: give each its own",
}

// brokerError is what a broker answered.
type brokerError struct {
	code   code
	doing  string // what was asked of whom, such as "produce to orders/3 at broker 2"
	detail string // the broker's own words, if any
}

func (e *brokerError) Error() string {
	text := fmt.Sprintf("%s: %s", e.doing, codeName(e.code))
	if e.detail != "" {
		text += fmt.Sprintf(" (%.300s)", e.detail)
	}
	if way := ways[e.code]; way != "" {
		text += "; " + way
	}
	return text
}

// codeError makes an error of code c, nil for codeNone. doing names what was asked, and of whom.
func codeError(c code, doing string, args ...any) error {
	if c == codeNone {
		return nil
	}
	return &brokerError{code: c, doing: fmt.Sprintf(doing, args...)}
}

// codeOf returns the code that err carries, and false if it carries none: the answer did not arrive.
func codeOf(err error) (code, bool) {
	if b, ok := errors.AsType[*brokerError](err); ok {
		return b.code, true
	}
	return codeNone, false
}

func codeName(c code) string {
	title := kafkago.Error(c).Title()
	if title == "" {
		return fmt.Sprintf("error code %d", c)
	}
	return fmt.Sprintf("%s (%d)", title, c)
}
