package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-bridge/sluice/integration/bench/profile"
	"github.com/sluice-bridge/sluice/integration/brokers"
)

// half is which half of a bridge's work a contender does.
type half uint8

const (
	whole half = iota
	consumes
	produces
)

// contender is one row of a part of the table.
type contender struct {
	name string
	half half
	// command returns the program and its arguments for one run.
	command func(b *bench, r *trial) (program string, args []string, err error)
}

const (
	nameSluice = "Sluice"
	nameByHand = "by hand"
)

// contenders returns who takes part in a setting.
func (b *bench) contenders(s *setting) []*contender {
	all := []*contender{{nameSluice, whole, sluice}, {nameByHand, whole, byHand}}
	if b.against != "" {
		all = slices.Insert(all, 1, &contender{nameSluice + ", " + filepath.Base(b.against), whole, sluiceAgainst})
	}
	switch {
	case b.noCeilings:
		return all
	case s.toKafka:
		return append(all, &contender{"only pulling, AckAll", consumes, ceiling("pull")},
			&contender{"only producing, idempotent", produces, ceiling("produce")})
	case s.batched:
		return append(all, &contender{"only fetching, raw", consumes, ceiling("fetch")},
			&contender{"only publishing, fast-ingest", produces, ceiling("publish-fast")})
	}
	return append(all, &contender{"only fetching, raw", consumes, ceiling("fetch")},
		&contender{"only publishing, own replies", produces, ceiling("publish-stock")})
}

// sluice runs the short form of the README's configuration.
func sluice(b *bench, r *trial) (program string, args []string, err error) {
	from, to := fmt.Sprintf("kafka://%s/%s", r.kafka, r.topic), fmt.Sprintf("jetstream://%s/%s", r.nats, r.stream)
	if r.toKafka {
		from, to = to, from
	}
	window := ""
	if r.window > 0 {
		window = fmt.Sprintf(", window: {max_messages: %d}", r.window)
	}
	file := filepath.Join(b.dir, r.name+".yaml")
	text := fmt.Sprintf("routes:\n  %s: {from: %q, to: %q%s}\n", r.name, from, to, window)
	if r.telemetry != "" {
		text += fmt.Sprintf("telemetry: {endpoint: %q, protocol: http/protobuf}\n", r.telemetry)
	}
	program = b.programs.sluice
	if b.profiles != "" {
		program = b.programs.profiled
	}
	return program, []string{"run", "-c", file, "--admin", "127.0.0.1:0", "--log-format", "json"}, os.WriteFile(file, []byte(text), 0o600)
}

// sluiceAgainst is sluice with the build that the flags name.
func sluiceAgainst(b *bench, r *trial) (program string, args []string, err error) {
	_, args, err = sluice(b, r)
	return b.against, args, err
}

func byHand(b *bench, r *trial) (program string, args []string, err error) {
	return b.programs.byHand, []string{
		"-kafka", r.kafka, "-nats", r.nats, "-topic", r.topic, "-stream", r.stream, "-name", r.name,
		fmt.Sprintf("-to-kafka=%t", r.toKafka),
	}, nil
}

func ceiling(do string) func(*bench, *trial) (string, []string, error) {
	return func(b *bench, r *trial) (string, []string, error) {
		return b.programs.ceiling, []string{
			"-do", do, "-kafka", r.kafka, "-nats", r.nats, "-topic", r.topic, "-stream", r.stream, "-name", r.name,
			"-messages", fmt.Sprint(r.messages), "-size", fmt.Sprint(r.size),
		}, nil
	}
}

// address returns host:port of the nats-server.
func (b *bench) address() string { return strings.TrimPrefix(b.nats.URL, "nats://") }

// start starts a contender's process.
func (b *bench) start(c *contender, r *trial) (*brokers.Process, error) {
	p := &brokers.Process{Name: c.name, Dir: b.dir, Log: filepath.Join(b.dir, r.name+".log")}
	var err error
	if p.Path, p.Args, err = c.command(b, r); err != nil {
		return nil, err
	}
	if b.profiles != "" {
		p.Env = append(p.Env, profile.Variable+"="+filepath.Join(b.profiles, r.profile))
	}
	return p, p.Start()
}
