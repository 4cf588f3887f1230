package connectors

import (
	"errors"
	"fmt"
)

// ErrMoved is returned by a Positioner's Write when the sink's position is not the one the Write
// expected: the bridge drops the partition's batches, asks for the position and seeks there.
var ErrMoved = errors.New("sink position moved")

// Permanent marks err as one that the same input will always meet. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err or what it wraps was marked by Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// HaltError is a Permanent error with a name: why a route waits for an operator, and the literal command
// or step that lets it go on. /status and the log show both.
type HaltError struct {
	Reason string // lower_snake_case, such as position_lost
	Way    string // such as "sluice position orders set --to sink"; empty: what the error says
	Err    error
}

// Halt returns a *HaltError that IsPermanent reports.
func Halt(reason, way string, err error) error {
	return Permanent(&HaltError{Reason: reason, Way: way, Err: err})
}

func (e *HaltError) Error() string { return e.Err.Error() }

// Unwrap returns the fault itself.
func (e *HaltError) Unwrap() error { return e.Err }

// NoRoomError says that the next message does not fit the room that Fetch was given.
type NoRoomError struct {
	Need int64 // bytes
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("next message needs %d bytes of room", e.Need)
}

// BatchError lists the messages of a Write that were not delivered; all others were.
type BatchError struct {
	Failed []Failure // ascending by Index
}

// Failure is one message that was not delivered.
type Failure struct {
	Index int // counted over all messages of the Write's batches, in order
	Err   error
}

func (e *BatchError) Error() string {
	if len(e.Failed) == 0 {
		return "no message failed"
	}
	first := e.Failed[0]
	if len(e.Failed) == 1 {
		return fmt.Sprintf("message %d: %v", first.Index, first.Err)
	}
	return fmt.Sprintf("%d messages failed, the first (%d): %v", len(e.Failed), first.Index, first.Err)
}

// Unwrap returns the failures' errors, so that errors.Is and errors.As see them.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// FieldError is a fault at one key of a connector's section. The configuration shows it with the
// line and column of that key.
type FieldError struct {
	Path string // keys joined by dots, relative to the section, such as "tls.ca_file"
	Err  error
}

func (e *FieldError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the fault itself.
func (e *FieldError) Unwrap() error { return e.Err }

// Fieldf returns a FieldError for the key at path.
func Fieldf(path, format string, args ...any) error {
	return &FieldError{Path: path, Err: fmt.Errorf(format, args...)}
}
