// Torture runs the daemon between real brokers while it does to all of them what happens to computers,
// and then compares what was written at the source with what stands at the sink.
//
//	go run ./integration/torture -profile short -seed 7     # ten minutes, at least 300 faults
//	go run ./integration/torture -detect                    # would it notice? seeded faults in the daemon
//	go run ./integration/torture -list                      # profiles, and what each does
//
// A run has a route in each direction, Kafka to JetStream and JetStream to Kafka, each with a load, a
// proxy before each broker, and daemons that are killed, frozen and started again. The faults are chosen
// by the seed, one after another on each route and beside them on the brokers, so that they overlap. A
// fault counts only if it hit work: what it found in flight stands beside it in the timeline.
//
// The truth is the source's own log, read again at the end by another client than the bridge uses; what
// the load believes to have written only proves that the source kept it. The load never sends a message
// again whose outcome it does not know: it makes a new one, so that what stands twice at the sink was
// doubled by the bridge. See judge.go for what a run is judged by.
//
// Each run leaves a report as JSON and one page of text, with the seed, the commit and the versions.
package main
