package main

// kafkaMutants are faults of the Kafka connector.
func kafkaMutants() []*mutant {
	return []*mutant{
		{"reads what aborted transactions wrote", []string{"transactions"}, []edit{
			{"connectors/kafka/source_request.go", "wire.NewReader(f.topic, p.Records, f.next, p.Aborted)", "wire.NewReader(f.topic, p.Records, f.next, nil)"},
		}},
		{"takes control markers for messages", []string{"transactions"}, []edit{
			{"connectors/kafka/wire/decode.go", "			r.open = slices.Delete(r.open, i, i+1)\n		}\n		return false\n",
				"			r.open = slices.Delete(r.open, i, i+1)\n		}\n		return b.count > 0 && b.end >= r.next\n"},
		}},
		{"does not look at checksums", []string{"damaged"}, []edit{
			{"connectors/kafka/wire/decode_batch.go", "sum != crc32.Checksum(raw[21:], castagnoli) {", "sum != crc32.Checksum(raw[21:], castagnoli) && false {"},
		}},
		{"goes on behind data that expired without a word", []string{"expired-there"}, []edit{
			{"connectors/kafka/position_gap.go", "			if err := s.host.Gap(f.name, next, first); err != nil {\n", "			if err := error(nil); err != nil {\n"},
		}},
		{"takes the holes that compaction leaves for lost data", []string{"compacted"}, []edit{
			{"connectors/kafka/source_batch.go", "	s.noteAge(out.Messages[0].Time)\n",
				"	s.noteAge(out.Messages[0].Time)\n	if first := out.Messages[0].Offset; first > before {\n" +
					"		_ = s.host.Gap(f.name, before, first)\n	}\n"},
		}},
		{"does not notice that a topic was created anew", []string{"recreated-there"}, []edit{
			{"connectors/kafka/position_gap.go", "if t.recreated(s.topics[name]) {", "if false {"},
			{"connectors/kafka/position.go", "if !sameTopic(o.Metadata, s.fingerprint(f.topic)) {", "if false {"},
		}},
		{"begins at the log's end where it ends before the position", []string{"truncated-there"}, []edit{
			{"connectors/kafka/position_gap.go", "		case tries >= beyondEnd:\n", "		case tries >= beyondEnd:\n			s.resumeAt(f, last)\n			return\n		case false:\n"},
		}},
		{"forgets its sequence number when an answer is lost", []string{"unanswered-back"}, []edit{
			{"connectors/kafka/produce_outcome.go", "		part.doubt = true\n", "		t.spoil()\n		part.sealed = 0\n"},
		}},
		{"takes a request without an answer for written", []string{"unanswered-back"}, []edit{
			{"connectors/kafka/produce_outcome.go", "	case o.err == nil || o.code == codeDuplicateSequence:\n		p.accept(part, o)\n",
				"	case o.err == nil || o.open || o.code == codeDuplicateSequence:\n		p.accept(part, o)\n"},
		}},
		{"takes the refusal of a broker that leads no more for an acknowledgement", []string{"moved-back"}, []edit{
			{"connectors/kafka/produce_outcome.go", "	case o.err == nil || o.code == codeDuplicateSequence:\n		p.accept(part, o)\n",
				"	case o.err == nil || o.code == codeNotLeader || o.code == codeDuplicateSequence:\n		p.accept(part, o)\n"},
		}},
		{"commits again under the new generation what was read under the old", []string{"zombie-there"}, []edit{
			{"connectors/kafka/source_commit.go", "				as = &f.as\n", "				s.member.mu.Lock()\n				me := s.member.me\n				s.member.mu.Unlock()\n				as = &me\n"},
			{"connectors/kafka/source_commit.go", "if f.as == *as {", "if true {"},
			{"connectors/kafka/source_commit.go", "			s.member.lost(as, c)\n			return nil\n", "			s.member.lost(as, c)\n			return codeError(c, \"commit\")\n"},
		}},
		{"never asks again after a request that failed", []string{"unheard-there"}, []edit{
			{"connectors/kafka/source_request.go", "	s.free(node, feeds)\n	s.fails[node]++\n", "	s.look = true\n	s.fails[node]++\n"},
		}},
		{"does not wait between two attempts", []string{"gone-there"}, []edit{
			{"connectors/kafka/source_request.go", "return min(maxBackoff, s.timing.backoff<<min(n-1, 10))", "return min(maxBackoff, s.timing.backoff<<min(n-1, 10)) / 1_000_000"},
		}},
		{"does not count what a batch takes", []string{"dead-there"}, []edit{
			{"connectors/kafka/source_batch.go", "Next: f.next, Memory: out.Memory,", "Next: f.next, Memory: 0,"},
		}},
		{"reads an empty value as none", []string{"content-there"}, []edit{
			{"connectors/kafka/wire/decode_record.go", "	if n == -1 {\n		return nil\n	}\n", "	if n == -1 || n == 0 {\n		return nil\n	}\n"},
		}},
	}
}
