package connectors

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestPermanent(t *testing.T) {
	if Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
	err := Permanent(io.ErrUnexpectedEOF)
	if !IsPermanent(fmt.Errorf("kafka: %w", err)) || !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != io.ErrUnexpectedEOF.Error() {
		t.Errorf("%v lost what it is", err)
	}
	if IsPermanent(io.EOF) || IsPermanent(nil) {
		t.Error("what was not marked is permanent")
	}
}

func TestBatchError(t *testing.T) {
	one := &BatchError{Failed: []Failure{{Index: 3, Err: io.EOF}}}
	if one.Error() != "message 3: EOF" {
		t.Error(one)
	}
	two := &BatchError{Failed: []Failure{{Index: 3, Err: io.EOF}, {Index: 5, Err: Permanent(io.ErrShortWrite)}}}
	if two.Error() != "2 messages failed, the first (3): EOF" || !errors.Is(two, io.ErrShortWrite) || !IsPermanent(two) {
		t.Error(two)
	}
	if (&BatchError{}).Error() != "no message failed" {
		t.Error("an empty BatchError")
	}
}

func TestFieldError(t *testing.T) {
	err := fmt.Errorf("route orders: %w", Fieldf("tls.ca_file", "cannot be read: %w", io.ErrNoProgress))
	var field *FieldError
	if !errors.As(err, &field) || field.Path != "tls.ca_file" || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
}
