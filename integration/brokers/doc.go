// Package brokers runs a real Apache Kafka and a real nats-server for tests: each as a process of its
// own that can be frozen, killed and started again on the same data, or, by SLUICE_KAFKA=host:port and
// SLUICE_NATS=nats://host:port, brokers that run already and cannot be controlled.
//
// Kafka needs Java 17 and, the first time, Maven, which resolves the jars that pom.xml names into the
// user's cache directory. nats-server is built from the module that go.mod names. Nothing is
// installed; every port is a free one of the loopback interface.
package brokers
