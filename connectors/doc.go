// Package connectors is the contract between the bridge and what it connects: messages, batches,
// sources, sinks, and how a connector describes itself to the configuration.
//
// A connector is a package that offers a [Plugin]. It implements [Source], [Sink] or both, and may
// implement the optional interfaces of this package ([Pauser], [Lagger], ...), which the bridge
// finds by type assertion. A simple connector ignores them all; package connectors/lines is the one
// to copy, and connectors/connectortest is the suite that defines what "a connector" means.
//
// An end may offer an [Examination] by its spec (Examine): the chain of questions, in order, that says why it would
// not move and what to type. [Reachable] and [Clock] are the parts that all have in common.
//
// # Who owns a batch
//
// A [Batch] belongs to the source until Fetch returns it, then to the bridge until Commit returns,
// then to the source again. Its messages are slices of one buffer and are valid until the batch is
// acknowledged as a whole; from then on Messages is empty and only Partition, Next and Handle
// remain, which is what Commit needs. Whoever keeps a message longer copies it.
//
// # What happens to errors
//
//	nil                 done
//	Permanent(err)      the route halts and waits for an operator
//	*BatchError         from Write: all other messages are acknowledged; a failure that is Permanent is
//	                    a refused message, about which the reject policy decides; the rest is tried again
//	*NoRoomError        from Fetch: called again when that much room is free
//	io.EOF              from Fetch: the source has ended; the route drains and ends well
//	a context's error   the caller gave up; neither logged nor counted as a failure
//	anything else       the same call again after a backoff, for ever
package connectors
