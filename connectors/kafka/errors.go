package kafka

import (
	"cmp"
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
)

// code is an error code of the Kafka protocol.
type code int16

// The codes that something here acts on. The names are Kafka's, shortened.
const (
	codeNone                       code = 0
	codeOffsetOutOfRange           code = 1
	codeCorruptMessage             code = 2
	codeUnknownTopicOrPartition    code = 3
	codeLeaderNotAvailable         code = 5
	codeNotLeader                  code = 6
	codeRequestTimedOut            code = 7
	codeBrokerNotAvailable         code = 8
	codeReplicaNotAvailable        code = 9
	codeMessageTooLarge            code = 10
	codeNetworkException           code = 13
	codeCoordinatorLoading         code = 14
	codeCoordinatorNotAvailable    code = 15
	codeNotCoordinator             code = 16
	codeInvalidTopic               code = 17
	codeBatchTooLarge              code = 18
	codeNotEnoughReplicas          code = 19
	codeNotEnoughAfterAppend       code = 20
	codeIllegalGeneration          code = 22
	codeInconsistentProtocol       code = 23
	codeInvalidGroupID             code = 24
	codeUnknownMemberID            code = 25
	codeInvalidSessionTimeout      code = 26
	codeRebalanceInProgress        code = 27
	codeInvalidCommitSize          code = 28
	codeTopicAuthorization         code = 29
	codeGroupAuthorization         code = 30
	codeClusterAuthorization       code = 31
	codeInvalidTimestamp           code = 32
	codeUnsupportedMechanism       code = 33
	codeIllegalSASLState           code = 34
	codeUnsupportedVersion         code = 35
	codeInvalidRequest             code = 42
	codeUnsupportedForFormat       code = 43
	codePolicyViolation            code = 44
	codeOutOfOrderSequence         code = 45
	codeDuplicateSequence          code = 46
	codeInvalidProducerEpoch       code = 47
	codeInvalidProducerMapping     code = 49
	codeTransactionalAuthorization code = 53
	codeStorage                    code = 56
	codeLoginFailed                code = 58
	codeUnknownProducerID          code = 59
	codeTokenAuthorization         code = 65
	codeGroupIDNotFound            code = 69
	codeListenerNotFound           code = 72
	codeFencedLeaderEpoch          code = 74
	codeUnknownLeaderEpoch         code = 75
	codeUnsupportedCompression     code = 76
	codeMemberIDRequired           code = 79
	codeGroupFull                  code = 81
	codeFencedInstanceID           code = 82
	codeInvalidRecord              code = 87
	codeProducerFenced             code = 90
	codeUnknownTopicID             code = 100
	codeInconsistentTopicID        code = 103
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
	case codeUnknownTopicOrPartition, codeLeaderNotAvailable, codeNotLeader, codeBrokerNotAvailable,
		codeReplicaNotAvailable, codeStorage, codeListenerNotFound, codeFencedLeaderEpoch, codeUnknownLeaderEpoch,
		codeUnknownTopicID, codeInconsistentTopicID:
		return classRefresh
	case codeCoordinatorLoading, codeCoordinatorNotAvailable, codeNotCoordinator:
		return classCoordinator
	case codeCorruptMessage, codeMessageTooLarge, codeBatchTooLarge, codeInvalidTimestamp, codeInvalidRecord:
		return classRefused
	case codeOutOfOrderSequence, codeInvalidProducerEpoch, codeInvalidProducerMapping, codeUnknownProducerID,
		codeProducerFenced:
		return classSequence
	case codeIllegalGeneration, codeUnknownMemberID, codeRebalanceInProgress, codeMemberIDRequired, codeFencedInstanceID:
		return classMember
	case codeInvalidTopic, codeInconsistentProtocol, codeInvalidGroupID, codeInvalidSessionTimeout, codeInvalidCommitSize,
		codeTopicAuthorization, codeGroupAuthorization, codeClusterAuthorization, codeUnsupportedMechanism,
		codeIllegalSASLState, codeUnsupportedVersion, codeInvalidRequest, codeUnsupportedForFormat, codePolicyViolation,
		codeTransactionalAuthorization, codeLoginFailed, codeTokenAuthorization, codeUnsupportedCompression, codeGroupFull:
		return classMisconfigured
	default:
		return classRetry // what nobody knows is not a reason to lose a message
	}
}

// wayOut says what the operator can do, where the code alone tells.
func (c code) wayOut() string {
	switch c {
	case codeUnknownTopicOrPartition:
		return "create the topic, or wait: it is tried again"
	case codeMessageTooLarge:
		return "raise the topic's max.message.bytes and this sink's max_message, or choose an on_reject policy"
	case codeInvalidTopic:
		return "correct the topic's name"
	case codeNotEnoughAfterAppend, codeNotEnoughReplicas:
		return "the topic's min.insync.replicas is not met: bring replicas back"
	case codeTopicAuthorization:
		return "grant the user access to the topic"
	case codeGroupAuthorization:
		return "grant the user READ on the group"
	case codeClusterAuthorization:
		return "grant the user IDEMPOTENT_WRITE on the cluster"
	case codeInvalidTimestamp:
		return "its time is outside of the topic's message.timestamp.before/after.max.ms"
	case codeUnsupportedMechanism:
		return "set sasl.mechanism to one that the broker has, or enable it there (sasl.enabled.mechanisms)"
	case codeUnsupportedVersion:
		return "Kafka 2.4 or later is needed"
	case codeLoginFailed:
		return "correct username and password, or the client of sasl"
	case codeUnsupportedCompression, codeUnsupportedForFormat:
		return "choose another compression for this sink, or a newer message format for the topic"
	case codeInvalidRecord:
		return "the topic may be compacted, which needs a key for every message"
	case codeFencedInstanceID:
		return "another process uses the same instance_id: give each its own"
	}
	return ""
}

// brokerError is what a broker answered.
type brokerError struct {
	code   code
	doing  string // what was asked of whom, such as "produce to orders/3 at broker 2"
	detail string // the broker's own words, if any
	way    string // what the operator can do, where more is known than the code tells
}

func (e *brokerError) Error() string {
	text := fmt.Sprintf("%s: %s", e.doing, codeName(e.code))
	if e.detail != "" {
		text += fmt.Sprintf(" (%.300s)", e.detail)
	}
	if way := cmp.Or(e.way, e.code.wayOut()); way != "" {
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
