// Package verify compares the two ends of a route by position: what the source holds with what the sink
// holds of it. It asks neither the bridge nor its counters, only the ends' own logs ([connectors.Log]).
//
// A message at the sink is known by the partition and offset that its Sluice-Origin names. The first pass
// reads both ends once and keeps, for each block of consecutive source offsets, a sum over a print of each
// message (offset, key, value, headers, time), where in the sink the block stands, and whether a message
// came there behind a later one. Blocks whose sums agree and whose order holds are equal. The second pass
// reads those that are not again and goes through them message by message.
//
//	lost       at the source, and neither at the sink nor among the dead letters
//	doubled    at the sink once more
//	reordered  first at the sink behind a later message of its partition, in one partition of the sink
//	altered    a field differs
//	phantom    at the sink, from a position that the source does not have
//
// What a route filters and maps is filtered and mapped here as well, by the same expressions: a message that does not
// pass is expected nowhere, and counted; one that does is expected with the key and the headers that it is given.
//
// What cannot be compared is told and is no difference: positions that the source no longer has, those
// that the sink no longer has because it lost its beginning or keeps only the newest of each key, and what
// was not committed when the comparison began.
//
// Memory is bounded whatever the ends hold: about a hundred thousand blocks, and the messages' prints of a
// few of them at a time.
package verify
