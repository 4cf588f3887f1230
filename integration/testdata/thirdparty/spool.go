// Package spool moves messages through a directory: each *.message file is one, its name the number
// that orders it. A source removes what is committed. What a sink acknowledged survives the process,
// not the machine: nothing is synced.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// Plugin returns the connector.
func Plugin() connectors.Plugin {
	return connectors.Plugin{
		Name: "spool",
		Source: connectors.NewSource(defaults, func(c config, _ connectors.About) (*connectors.SourceSpec, error) {
			return &connectors.SourceSpec{
				Claims: []string{"directory " + c.Dir},
				Open: func(context.Context, connectors.Env) (connectors.Source, error) {
					return &source{config: c, last: -1}, nil
				},
			}, nil
		}),
		Sink: connectors.NewSink(defaults, func(c config, _ connectors.About) (*connectors.SinkSpec, error) {
			return &connectors.SinkSpec{Open: func(context.Context, connectors.Env) (connectors.Sink, error) {
				return &sink{dir: c.Dir, next: time.Now().UnixNano()}, nil // past every run before
			}}, nil
		}),
	}
}

type config struct {
	Dir string `yaml:"dir"`
	End bool   `yaml:"end"` // source: end when the directory is empty
}

func defaults(connectors.About) config { return config{} }

func (c *config) Validate() error {
	if c.Dir != "" {
		return nil
	}
	return connectors.Fieldf("dir", "name the directory")
}

type source struct {
	config
	last int64 // the number of the file that was fetched last
}

func (s *source) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for ctx.Err() == nil {
		switch b, err := s.read(room); {
		case err != nil || len(b.Messages) > 0:
			return b, err
		case s.End:
			return nil, io.EOF
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil, ctx.Err()
}

func (s *source) read(room connectors.Room) (*connectors.Batch, error) {
	files, err := filepath.Glob(filepath.Join(s.Dir, "*.message")) // sorted by name
	if err != nil {
		return nil, err
	}
	b := &connectors.Batch{Partition: s.Dir}
	var names []string
	for _, f := range files {
		number, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(f), ".message"), 10, 64)
		if err != nil || number <= s.last {
			continue
		}
		value, err := os.ReadFile(f)
		size := int64(len(value)) + 128
		switch {
		case err != nil:
			return nil, err
		case len(names) == 0 && size > room.Bytes && !room.Alone:
			return nil, &connectors.NoRoomError{Need: size}
		case len(names) == room.Messages, len(names) > 0 && b.Memory+size > room.Bytes:
			return s.done(b, names), nil
		}
		names = append(names, f)
		b.Messages = append(b.Messages, connectors.Message{Subject: s.Dir, Value: value, Offset: number})
		b.Memory += size
		b.Next = number + 1
	}
	return s.done(b, names), nil
}

func (s *source) done(b *connectors.Batch, names []string) *connectors.Batch {
	b.Handle = names
	s.last = max(s.last, b.Next-1)
	return b
}

func (s *source) Commit(ctx context.Context, done []*connectors.Batch) error {
	for _, b := range done {
		for _, f := range b.Handle.([]string) {
			if err := os.Remove(f); ctx.Err() != nil || err != nil && !errors.Is(err, os.ErrNotExist) {
				return errors.Join(ctx.Err(), err)
			}
		}
	}
	return nil
}

func (s *source) Close(context.Context) error { return nil }

type sink struct {
	dir  string
	mu   sync.Mutex
	next int64
}

func (s *sink) Write(ctx context.Context, batches []*connectors.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range batches {
		for i := range b.Messages {
			if err := errors.Join(ctx.Err(), s.put(b.Messages[i].Value)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sink) put(value []byte) error {
	s.next++
	path := filepath.Join(s.dir, fmt.Sprintf("%020d", s.next))
	return errors.Join(os.WriteFile(path, value, 0o600), os.Rename(path, path+".message"))
}

func (s *sink) Close(context.Context) error { return nil }
