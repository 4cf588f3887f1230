// Package lines is the connector to copy: a file of lines, as a source and as a sink.
//
// It shows all that a connector needs. [Plugin] names it and says how a section of the configuration
// becomes an end. The source remembers where it is in a small file beside the lines; the sink appends
// and acknowledges when the disk has it. Neither starts a goroutine nor knows of windows, retries or
// traces: that is the bridge's work. Its test runs the suite of package connectortest, which is what
// makes it a connector.
//
//	routes:
//	  audit:
//	    source: {lines: {path: audit.log}}
//	    sink:   {jetstream: {stream: AUDIT}}
//
// A message is a line; its value is the line without its end, its offset the byte at which it begins.
// Lines have neither key nor headers nor time, and a null value becomes an empty line. A line counts
// once its end is written, so that one which is being written is never cut in two; one longer than
// 1 MiB halts the route. The source reads to the end of the file and ends there, or follows the file
// as it grows.
package lines
