// Package truth says whether messages arrived: it fills a source, reads the source's own log and the
// sink's log with clients that the bridge does not use or uses otherwise, and compares them message by
// message. It shares no code with the bridge; it decodes the headers of connectors/nats/convert.go by
// their documentation.
package truth
