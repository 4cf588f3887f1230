package main

// bridgeMutants are faults of what lies between source and sink.
func bridgeMutants() []*mutant {
	return []*mutant{
		{"commits before the sink has acknowledged", []string{"killed-there"}, []edit{
			{"flowcontrol/tracker.go", "for t.settled < len(t.items) && t.items[t.settled].finished {", "for t.settled < len(t.items) {"},
		}},
		{"commits the highest that is finished, past what is not", []string{"one-away"}, []edit{
			{"flowcontrol/tracker.go", "	t.items[i].finished = true\n", "	for k := range t.items[:i+1] {\n		t.items[k].finished = true\n	}\n"},
		}},
		{"skips a message that failed", []string{"refused"}, []edit{
			{"bridge/deliver.go", "again = append(again, b.Messages[at])\n", "_ = at\n"},
		}},
		{"tries again in another order", []string{"refused"}, []edit{
			{"bridge/deliver.go", "again = append(again, b.Messages[at])\n", "again = append([]connectors.Message{b.Messages[at]}, again...)\n"},
		}},
		{"writes again what was acknowledged beside what failed", []string{"one-away"}, []edit{
			{"bridge/deliver.go", "view.Messages = again\n", "view.Messages = b.Messages\n"},
		}},
		{"says that a refused message is a dead letter and writes none", []string{"content-there"}, []edit{
			{"bridge/reject.go", "	w.p.enter(flowcontrol.BlockerDeadLetter)\n", "	if w.p != nil {\n		return nil\n	}\n"},
		}},
		{"ends without the last commit", []string{"ended-there", "ended-back"}, []edit{
			{"bridge/commit.go", "		case <-lanesDone:\n			final = true\n", "		case <-n.soft.Done():\n			return\n"},
		}},
		{"gives partitions back without waiting for what is in flight", []string{"rebalanced"}, []edit{
			{"bridge/host.go", "		h.settle(ctx, p)\n", "		_ = p\n"},
		}},
		{"takes more than there is room for", []string{"silent-there", "silent-back"}, []edit{
			{"bridge/fetch.go", "Messages: int(free.Messages), Bytes: min(free.Bytes, n.granted),", "Messages: int(n.window.Hard().Messages), Bytes: n.window.Hard().Bytes,"},
		}},
		{"tries again without a pause", []string{"refused"}, []edit{
			{"bridge/retry.go", "time.NewTimer(rand.N(bound) + 1)", "time.NewTimer(rand.N(bound)*0 + 1)"},
		}},
	}
}
