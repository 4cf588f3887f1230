package lines

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"

	"github.com/sluice-bridge/sluice/connectors"
)

// sink appends to one file, which all lanes share.
type sink struct {
	mu     sync.Mutex
	file   *os.File
	size   int64 // up to the last line that was acknowledged
	buffer []byte
}

func openSink(path string) (connectors.Sink, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err = errors.Join(err, syncDirectory(path)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &sink{file: file, size: info.Size()}, nil
}

// Write acknowledges when the disk has the lines. A value with a line end inside is refused for good,
// and only that: the reject policy decides about it.
func (s *sink) Write(ctx context.Context, batches []*connectors.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	var refused connectors.BatchError
	index := 0
	s.buffer = s.buffer[:0]
	for _, b := range batches {
		for i := range b.Messages {
			if value := b.Messages[i].Value; bytes.IndexByte(value, '\n') < 0 {
				s.buffer = append(append(s.buffer, value...), '\n')
			} else {
				err := connectors.Permanent(errors.New("the value has a line end inside"))
				refused.Failed = append(refused.Failed, connectors.Failure{Index: index, Err: err})
			}
			index++
		}
	}
	// Not at the file's end but at ours: what a Write that failed left behind is overwritten by the
	// next attempt.
	if _, err := s.file.WriteAt(s.buffer, s.size); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.size += int64(len(s.buffer))
	if len(refused.Failed) > 0 {
		return &refused
	}
	return nil
}

func (s *sink) Close(context.Context) error { return s.file.Close() }
