// Command bench measures Sluice side by side with what an engineer writes instead (byhand) and with what
// the brokers give at all (ceiling), against a real Apache Kafka and a real nats-server, which it starts:
//
//	go run ./integration/bench                      everything of the first table, about 20 minutes
//	go run ./integration/bench -short               a small load, one run: for its correctness columns
//	go run ./integration/bench -sizes 100 -directions k2j -runs 5
//	go run ./integration/bench -tables latency,scale,distance
//	go run ./integration/bench -tables telemetry -runs 9
//	go run ./integration/bench -profiles /tmp/profiles
//	go run ./integration/bench -against ./before    with another build of cmd/sluice in turn
//	go run ./integration/bench -append              also into RESULTS.md
//
// Everything is a process of its own. The contenders of one setting run in turn, as often as -runs says,
// each into a new sink; the whole sink is then read again and what is lost, doubled or reordered is
// counted. Sluice runs with the README's configuration, so with its default window and headers; byhand
// writes the same headers.
//
//	msg/s      messages / (time of the last - time of the first), as the sink noted them: the stream's
//	           time, Kafka's LogAppendTime. Of a ceiling that only consumes: by its own clock
//	× hand     against byhand in the same round, the median of the rounds
//	µs         processor time a message from the first arrival to the last, of the contender and of
//	           each broker
//	MiB        the most memory that was resident (VmHWM) in the contender, its start included
//	others     how much of the machine other processes used meanwhile: with much, compare ratios only
//
// Every figure is the median, with the least and the most in brackets. Kafka runs with the flags of a
// small production broker; both brokers are warmed up first, for a cold one costs two to four times as
// much.
package main
