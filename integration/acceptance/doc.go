// Package acceptance runs the daemon between a real Apache Kafka and a real nats-server and checks what
// its users are promised. Its tests have the build tag integration:
//
//	go test -tags integration ./integration/acceptance -v
//
// SLUICE_SCALE sets how much they move and how long they freeze and kill: 1 is the full size, which
// takes the better part of an hour; the default keeps the whole under ten minutes on two cores.
package acceptance
