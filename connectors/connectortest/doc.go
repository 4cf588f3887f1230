// Package connectortest holds what tests of connectors and of the bridge need: the suite that defines
// what "a connector" means, a connector in memory, and decorators that make an end fail on purpose.
//
// [Source] and [Sink] run the suite, [Log] that for the logs of either. A connector's test gives them a
// harness: how to open an instance, and how to write upstream or read downstream without the connector's
// help. Each check gets a place of its own, so checks neither see each other's messages nor depend on
// their order.
//
// [Topic] is both ends in memory: a log of several partitions that outlives the sources and sinks
// opened on it, which is what makes restarts and redelivery testable. In steady use it allocates
// nothing per message. It also watches whoever uses it: payloads are overwritten as soon as they are
// given back, so that a slice which is used too long shows.
//
// [FaultySource] and [FaultySink] wrap any end. Before each call they ask what should go wrong.
package connectortest
