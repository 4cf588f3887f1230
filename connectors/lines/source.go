package lines

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

const (
	maxLine     = 1 << 20
	messageSize = 128 // what a Message itself is charged, rounded up
	poll        = 100 * time.Millisecond
)

// source reads one file. It is one partition, whose positions are byte offsets.
type source struct {
	Config
	file   *os.File
	reader *bufio.Reader // at next, whenever a method returns
	next   int64         // where the next line begins
}

// openSource goes on at the saved position. Where a connector reaches for a broker it would not fail
// here because that is away: Fetch would, until it is there.
func openSource(c Config) (connectors.Source, error) {
	next, err := loadPosition(c.Path + positionSuffix)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(c.Path)
	if err != nil {
		return nil, err
	}
	s := &source{Config: c, file: file, next: next, reader: bufio.NewReaderSize(file, maxLine)}
	if err := s.rewind(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// Fetch returns the whole lines that fit the room. When ctx ends nothing is lost: only lines that are
// returned move s.next.
func (s *source) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	for ctx.Err() == nil {
		b, err := s.read(room)
		switch {
		case err != nil:
			return nil, err
		case len(b.Messages) > 0:
			return b, nil
		case !s.Follow:
			return nil, io.EOF
		}
		select { // nothing new: wait, but never longer than the caller does
		case <-time.After(poll):
		case <-ctx.Done():
		}
	}
	return nil, ctx.Err()
}

func (s *source) read(room connectors.Room) (*connectors.Batch, error) {
	b := &connectors.Batch{Partition: s.Path}
	for len(b.Messages) < room.Messages {
		line, err := s.reader.ReadSlice('\n')
		size := int64(messageSize + len(line))
		switch {
		case errors.Is(err, io.EOF): // the rest is no whole line yet
			return b, s.rewind()
		case errors.Is(err, bufio.ErrBufferFull): // and always will be: a person has to look
			return nil, connectors.Permanent(fmt.Errorf("%s: the line at byte %d is longer than %d", s.Path, s.next, maxLine))
		case err != nil:
			return nil, errors.Join(err, s.rewind())
		case b.Memory+size <= room.Bytes, room.Alone && len(b.Messages) == 0:
		case len(b.Messages) == 0:
			return nil, errors.Join(&connectors.NoRoomError{Need: size}, s.rewind())
		default:
			return b, s.rewind()
		}
		value := append([]byte{}, bytes.TrimSuffix(line, []byte{'\n'})...) // the reader uses line again
		b.Messages = append(b.Messages, connectors.Message{Subject: s.Path, Value: value, Offset: s.next})
		b.Memory += size
		s.next += int64(len(line))
		b.Next = s.next
	}
	return b, nil
}

// rewind gives back what was read and is not part of a batch.
func (s *source) rewind() error {
	if info, err := s.file.Stat(); err == nil && info.Size() < s.next {
		return connectors.Halt("source_truncated", "to begin again, remove "+s.Path+positionSuffix,
			fmt.Errorf("%s was truncated: it has %d bytes and the position is %d", s.Path, info.Size(), s.next))
	}
	_, err := s.file.Seek(s.next, io.SeekStart)
	s.reader.Reset(s.file)
	return err
}

// Commit saves where the last batch ends: they come in order.
func (s *source) Commit(ctx context.Context, done []*connectors.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return savePosition(s.Path+positionSuffix, done[len(done)-1].Next)
}

func (s *source) Close(context.Context) error { return s.file.Close() }
