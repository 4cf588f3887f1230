// Package web is the live page: what the routes do, drawn from the answer of /status once a second.
//
// The page is embedded and made of plain files: nothing is built, nothing is fetched from elsewhere, and a
// strict content security policy holds it to that. It shows and changes nothing.
//
// # The stream
//
// One stream of server-sent events feeds each page (GET /status/stream). [Feed] looks at the routes once a
// second, once for all who watch, and only while somebody does: from the first client until a minute
// after the last has gone. A client that does not keep up is dropped and comes back by itself.
//
//	history   first on a connection: {"reset", "times", "routes": {name: columns}}. The points of the last
//	          quarter of an hour that somebody watched, or, to a client that tells the id of the event
//	          it had last (Last-Event-ID, or ?after=), those since. reset: what the client has is of
//	          another process and goes. columns are arrays, one value a time, of the members of
//	          [Columns]. Times are milliseconds since 1970.
//	status    each second: a telemetry.ProcessStatus, as /status answers it. Its id is the process's
//	          instance and a number that rises.
//
// uPlot (MIT, LICENSE-uPlot.txt) draws the charts; it is a copy of npm's uplot@1.6.32 as published.
package web
