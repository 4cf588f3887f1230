package main

import (
	"fmt"

	"github.com/sluice-bridge/sluice/integration/bench/load"
)

// setting is what the contenders of one part of the table do the same.
type setting struct {
	toKafka  bool
	batched  bool // the stream that is written to has allow_batched set
	size     int  // bytes of a value
	messages int64
	lanes    int32 // source partitions
	traced   bool  // every message has a sampled parent
}

func (s *setting) String() string {
	value := fmt.Sprintf("%d B", s.size)
	if s.size >= 1<<10 {
		value = fmt.Sprintf("%d KiB", s.size>>10)
	}
	switch {
	case s.toKafka:
		return "JetStream → Kafka, " + value
	case s.batched:
		return "Kafka → JetStream with allow_batched, " + value
	}
	return "Kafka → JetStream, stock stream, " + value
}

// loadOf returns how many messages of a size are moved: a few seconds' worth.
func (o *options) loadOf(size int) int64 {
	n := 700_000.
	switch {
	case size > 4<<10:
		n = 40_000
	case size > 512:
		n = 400_000
	}
	return int64(n * o.load)
}

func newSetting(toKafka, batched bool, size int, messages int64) *setting {
	s := &setting{toKafka: toKafka, batched: batched, size: size, messages: messages, lanes: load.Partitions}
	if toKafka {
		s.lanes = 1 // a stream is one
	}
	return s
}

// settings returns what the flags choose.
func settings(o *options) []*setting {
	var all []*setting
	for _, direction := range o.directions {
		for _, size := range o.sizes {
			n := o.loadOf(size)
			switch direction {
			case "k2j":
				all = append(all, newSetting(false, true, size, n), newSetting(false, false, size, n))
			case "batched", "stock":
				all = append(all, newSetting(false, direction == "batched", size, n))
			case "j2k":
				all = append(all, newSetting(true, false, size, n))
			}
		}
	}
	return all
}
