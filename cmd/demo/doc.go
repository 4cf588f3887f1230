// Package demo is the command that shows Sluice at work with nothing else installed: a nats-server and
// a Kafka inside the process, traffic both ways, stalls that are forced by holding back real
// connections, and a verification that reads both ends again with other clients than the bridge's.
//
// It leaves no file behind: streams are kept in memory, and the one directory that the nats-server asks
// for is removed at the end.
package demo
