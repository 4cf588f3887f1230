// Package truth says whether messages arrived: it fills a source, reads the source's own log and the
// sink's log with clients that the bridge does not use or uses otherwise, and has the verifier compare
// them message by message. Its readers share no code with the bridge: it decodes the headers of
// connectors/nats/convert.go by their documentation, and knows a message by an id that its own load put
// there. Only the comparison is the one that operators use (package cmd/verify).
package truth
