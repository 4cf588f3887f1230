package bridge

import (
	"testing"
	"time"
)

func TestWriteSize(t *testing.T) {
	const window = 65536
	var s writeSize
	// A far sink that takes 300,000 a second after a round trip of 20 ms gets half of the window.
	for range 8 {
		n := s.limit(window)
		s.wrote(n, 20*time.Millisecond+time.Duration(n)*time.Second/300_000)
	}
	if got := s.limit(window); got != window/2 {
		t.Errorf("a far sink gets %d messages at a time", got)
	}
	if got := s.limit(8192); got != 4096 {
		t.Errorf("in a window that has shrunk it gets %d messages at a time", got)
	}
	// One that has become slow gets less, down to what it gets always, however small the window.
	for range 8 {
		n := s.limit(window)
		s.wrote(n, time.Duration(n)*time.Second/1000)
	}
	if got := s.limit(window); got != leastWrite {
		t.Errorf("a slow sink gets %d messages at a time", got)
	}
	if got := s.limit(1); got != leastWrite {
		t.Errorf("the bound of a small window is %d", got)
	}
	// Writes that are small because little is there say nothing.
	s.wrote(10, time.Millisecond)
	if got := s.limit(window); got != leastWrite {
		t.Errorf("after a small Write it is %d", got)
	}
}
