package main

// natsMutants are faults of the NATS connector.
func natsMutants() []*mutant {
	return []*mutant{
		{"does not wait until the stream has stored what it was sent", []string{"unanswered-there"}, []edit{
			{"connectors/nats/jetstream_sink_settle.go", "	for !f.over() {\n", "	for false {\n"},
			{"connectors/nats/jetstream_sink_settle.go", "	o := f.outcome()\n", "	o := f.outcome()\n	o.done, o.definite, o.err = sent, true, nil\n"},
		}},
		{"sends again what was not answered without looking at the stream", []string{"unanswered-there", "unanswered-single"}, []edit{
			{"connectors/nats/jetstream_sink_settle.go", "stored, sure, err := s.resolve(ctx, w, f, o.done, sent, lost != nil)", "stored, sure, err := 0, true, error(nil)"},
		}},
		{"passes headers through that the server obeys", []string{"content-there"}, []edit{
			{"connectors/nats/header.go", "return !hasPrefixFold(name, \"nats-\")", "return true"},
		}},
		{"writes no value as an empty one", []string{"content-there"}, []edit{
			{"connectors/nats/convert.go", "	if m.Value == nil {\n		dst = append(dst, headerNull+\": 1\\r\\n\"...)\n", "	if false {\n		dst = append(dst, headerNull+\": 1\\r\\n\"...)\n"},
		}},
		{"reads an empty message as none", []string{"content-back"}, []edit{
			{"connectors/nats/arrival.go", "{ return f.body[f.headed:] }", "{ return append([]byte(nil), f.body[f.headed:]...) }"},
		}},
		{"does not count what a delivery takes", []string{"dead-back"}, []edit{
			{"connectors/nats/jetstream_source_batch.go", "Memory: x.memory()", "Memory: 0"},
		}},
		{"acknowledges all that it has read", []string{"killed-back"}, []edit{
			{"connectors/nats/jetstream_source_commit.go", "	err := s.acknowledgeTo(ctx, p, sp.at)\n", "	err := s.acknowledgeTo(ctx, p, p.last)\n"},
		}},
		{"takes the durable from an owner that lives", []string{"zombie-back"}, []edit{
			{"connectors/nats/owner.go", "		if dead {\n", "		if dead || true {\n"},
		}},
		{"reads as new what is in flight when its connection comes back", []string{"unheard-back"}, []edit{
			{"connectors/nats/jetstream_source_session.go", "	return p, s.redeliver(ctx, p, info)\n", "	return p, nil\n"},
		}},
		{"goes on behind a purge without a word", []string{"expired-back"}, []edit{
			{"connectors/nats/jetstream_source_gap.go", "	s.gaps.begin(expect,", "	s.gaps.begin(expect*0,"},
		}},
		{"does not notice that a stream has become shorter", []string{"truncated-back"}, []edit{
			{"connectors/nats/jetstream_source_session.go", "	case int64(stream.State.LastSeq) < position:\n", "	case false:\n"},
			{"connectors/nats/jetstream_source_session.go", "	if err := s.sameMessage(ctx, stream, info); err != nil {\n", "	if err := error(nil); err != nil {\n"},
		}},
		{"takes other messages at a sequence that was read for read", []string{"regrown-back"}, []edit{
			{"connectors/nats/jetstream_source_session.go", "	if err := s.sameMessage(ctx, stream, info); err != nil {\n", "	if err := error(nil); err != nil {\n"},
		}},
		{"does not tell that the sink has forgotten messages", []string{"forgotten-there"}, []edit{
			{"connectors/nats/jetstream_sink_session.go", "	if forgotten > 0 {\n", "	if false {\n"},
		}},
		{"does not notice that a stream was created anew", []string{"recreated-back"}, []edit{
			{"connectors/nats/jetstream_source_session.go", "	case !s.created.Equal(stream.Created):\n", "	case false:\n"},
		}},
		{"does not notice that its connection is lost", []string{"restarted-there", "restarted-back"}, []edit{
			{"connectors/nats/conn.go", "	if c.up {\n		close(c.life)\n	}\n", ""},
		}},
		{"waits for ever for what a leader that is gone never answered", []string{"moved-there"}, []edit{
			{"connectors/nats/jetstream_sink_flight.go", "return f.settled || f.fast && f.unknown && f.probed || f.stagnant >= stagnantProbes", "return f.settled"},
		}},
	}
}
