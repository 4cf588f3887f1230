package cmd

import (
	"bytes"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// screen shares a writer between log lines and, on a terminal, one line of progress below them. Its
// methods may be called from any goroutine.
type screen struct {
	mu   sync.Mutex
	out  io.Writer
	live string // what stands in the last line; empty: nothing
}

const clearLine = "\r\x1b[K"

// Write writes whole lines above the line of progress.
func (s *screen) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == "" {
		return s.out.Write(lines)
	}
	all := append([]byte(clearLine), lines...)
	if !bytes.HasSuffix(lines, []byte("\n")) {
		all = append(all, '\n')
	}
	if _, err := s.out.Write(append(all, s.live...)); err != nil {
		return 0, err
	}
	return len(lines), nil
}

// show replaces the line of progress; empty removes it. It is cut to the width of the terminal.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if width := s.width(); len([]rune(line)) >= width {
		line = string([]rune(line)[:max(width-1, 0)])
	}
	if line == s.live {
		return
	}
	s.live = line
	// A terminal that is gone is not a reason to stop moving messages.
	_, _ = io.WriteString(s.out, clearLine+line)
}

func (s *screen) width() int {
	const usual = 80
	if f, ok := s.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return usual
}
