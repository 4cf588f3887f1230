// Package backends shows a stall in the programs that people look at it with: a real Jaeger and a real Prometheus,
// built from their modules the first time, which takes some minutes, and kept in the user's cache. It is not
// among what CI runs for every change:
//
//	go test -tags integration -timeout 30m -v ./integration/backends
package backends
