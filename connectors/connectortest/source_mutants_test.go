package connectortest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// mutant changes a source's calls. Nil functions change nothing.
type mutant struct {
	connectors.Source
	optional
	fetch  func(context.Context, connectors.Room) (*connectors.Batch, error)
	commit func(context.Context, []*connectors.Batch) error
	closed func(context.Context) error
}

func (m *mutant) Fetch(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
	if m.fetch != nil {
		return m.fetch(ctx, room)
	}
	return m.Source.Fetch(ctx, room)
}

func (m *mutant) Commit(ctx context.Context, done []*connectors.Batch) error {
	if m.commit != nil {
		return m.commit(ctx, done)
	}
	return m.Source.Commit(ctx, done)
}

func (m *mutant) Close(ctx context.Context) error {
	if m.closed != nil {
		return m.closed(ctx)
	}
	return m.Source.Close(ctx)
}

// edited is a mutant that changes each batch before it is returned.
func edited(edit func(*connectors.Batch)) func(*mutant, connectors.Host) {
	return func(m *mutant, _ connectors.Host) {
		m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
			b, err := m.Source.Fetch(ctx, room)
			if b != nil {
				edit(b)
			}
			return b, err
		}
	}
}

func TestSuiteNoticesSources(t *testing.T) {
	hung := hang(t)
	for _, c := range []struct {
		name, check string
		seed        func(*mutant, connectors.Host)
		words       string // of the complaint; "never: " before what shows by not happening
	}{
		{"two messages change places", "order", edited(func(b *connectors.Batch) {
			if n := len(b.Messages); n > 1 {
				b.Messages[n-1], b.Messages[n-2] = b.Messages[n-2], b.Messages[n-1]
			}
		}), "follows"},
		{"a message is skipped", "order", edited(func(b *connectors.Batch) {
			if n := len(b.Messages); n > 1 {
				b.Messages = b.Messages[1:]
			}
		}), "was next"},
		{"a message comes twice", "order", edited(func(b *connectors.Batch) {
			b.Messages = append(b.Messages, b.Messages[len(b.Messages)-1])
		}), "follows"},
		{"Next is not past the batch", "order", edited(func(b *connectors.Batch) { b.Next-- }), "Next is"},
		{"partitions are mixed up", "order", edited(func(b *connectors.Batch) { b.Partition = "in/0" }), "follows"},
		{"Memory is not counted", "order", edited(func(b *connectors.Batch) { b.Memory = 0 }), "Memory is 0"},
		{"Connected is not reported", "order", func(m *mutant, _ connectors.Host) {
			m.Source.(*remoteSource).told.Store(1)
		}, "never reported Connected"},
		{"an empty batch", "order", edited(func(b *connectors.Batch) { b.Messages = nil }), "without messages"},
		{"nothing at all", "order", func(m *mutant, _ connectors.Host) {
			m.fetch = func(context.Context, connectors.Room) (*connectors.Batch, error) { return nil, nil }
		}, "neither"},
		{"null becomes empty", "fields", edited(func(b *connectors.Batch) {
			for i := range b.Messages {
				if b.Messages[i].Value == nil {
					b.Messages[i].Value = []byte{}
				}
			}
		}), "want nil"},
		{"headers are sorted into one", "fields", edited(func(b *connectors.Batch) {
			for i := range b.Messages {
				b.Messages[i].Headers = b.Messages[i].Headers[:min(1, len(b.Messages[i].Headers))]
			}
		}), "headers"},
		{"the time is lost", "fields", edited(func(b *connectors.Batch) {
			for i := range b.Messages {
				b.Messages[i].Time = time.Time{}
			}
		}), "time"},
		{"room for messages is ignored", "room", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				room.Messages *= 2
				return m.Source.Fetch(ctx, room)
			}
		}, "messages into room"},
		{"room for bytes is ignored", "room", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				room.Bytes *= 4
				return m.Source.Fetch(ctx, room)
			}
		}, "bytes in"},
		{"an oversize message never passes", "oversize", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				room.Alone, room.Bytes = false, min(room.Bytes, 4<<10)
				return m.Source.Fetch(ctx, room)
			}
		}, "that was asked for"},
		{"NoRoomError needs too little", "oversize", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				b, err := m.Source.Fetch(ctx, room)
				if e := new(connectors.NoRoomError); errors.As(err, &e) {
					err = &connectors.NoRoomError{Need: 1}
				}
				return b, err
			}
		}, "needs 1"},
		{"an interrupted Fetch loses what it had", "interrupted", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				b, err := m.Source.Fetch(context.WithoutCancel(ctx), room)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				return b, err
			}
		}, "was next"},
		{"a Fetch with an ended context loses a batch", "cancelled", func(m *mutant, _ connectors.Host) {
			var lose sync.Once
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				if ctx.Err() != nil {
					lose.Do(func() {
						_, _ = m.Source.Fetch(context.WithoutCancel(ctx), connectors.Room{Messages: 5, Bytes: room.Bytes})
					})
					return nil, ctx.Err()
				}
				return m.Source.Fetch(ctx, room)
			}
		}, "was next"},
		{"Fetch does not look at its context", "end", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				b, err := m.Source.Fetch(ctx, room)
				if err != nil {
					hung()
				}
				return b, err
			}
		}, "Fetch has not returned"},
		{"nothing is committed", "commit", func(m *mutant, _ connectors.Host) {
			m.commit = func(context.Context, []*connectors.Batch) error { return nil }
		}, "was next"},
		{"Commit needs the messages", "commit", func(m *mutant, _ connectors.Host) {
			m.commit = func(_ context.Context, done []*connectors.Batch) error {
				if len(done[0].Messages) == 0 {
					return connectors.Permanent(ErrFault)
				}
				return nil
			}
		}, "Commit: "},
		{"what is fetched is committed", "redelivery", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				b, err := m.Source.Fetch(ctx, room)
				if b != nil {
					c, l := *b, *b.Handle.(*loan)
					l.payload, c.Handle = &payload{}, &l
					_ = m.Source.Commit(context.WithoutCancel(ctx), []*connectors.Batch{&c})
				}
				return b, err
			}
		}, "was next"},
		{"the buffer is used again too early", "held", func(m *mutant, _ connectors.Host) {
			var last []byte
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				if len(last) > 0 {
					last[0] = '!'
				}
				b, err := m.Source.Fetch(ctx, room)
				if b != nil {
					last = b.Messages[0].Value
				}
				return b, err
			}
		}, "altered"},
		{"Close never returns", "close", func(m *mutant, _ connectors.Host) {
			m.closed = func(ctx context.Context) error { defer hung(); return m.Source.Close(ctx) }
		}, "Close has not returned"},
		{"a goroutine stays", "close", func(m *mutant, _ connectors.Host) {
			m.closed = func(ctx context.Context) error {
				go hung()
				return m.Source.Close(ctx)
			}
		}, "goroutines are left"},
		{"io.EOF and then not", "end", func(m *mutant, _ connectors.Host) {
			ended := false
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				if ended {
					return nil, ErrFault
				}
				b, err := m.Source.Fetch(ctx, room)
				ended = errors.Is(err, io.EOF)
				return b, err
			}
		}, "after the end"},
		{"an outage is the end", "outage", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				b, err := m.Source.Fetch(ctx, room)
				if errors.Is(err, ErrFault) {
					err = io.EOF
				}
				return b, err
			}
		}, "returned io.EOF"},
		{"an outage is permanent", "outage", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				b, err := m.Source.Fetch(ctx, room)
				if errors.Is(err, ErrFault) {
					err = connectors.Permanent(err)
				}
				return b, err
			}
		}, "permanent error"},
		{"an outage is not reported", "outage", func(m *mutant, _ connectors.Host) {
			m.Source.(*remoteSource).host = NewHost()
		}, "never: Disconnected was never reported"},
		{"an outage leaves a hole", "outage", func(m *mutant, _ connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				b, err := m.Source.Fetch(ctx, room)
				if errors.Is(err, ErrFault) {
					_, _ = m.Source.(*remoteSource).Source.Fetch(ctx, room)
				}
				return b, err
			}
		}, "was next"},
		{"Fetch calls Host.Assign", "order", func(m *mutant, host connectors.Host) {
			m.fetch = func(ctx context.Context, room connectors.Room) (*connectors.Batch, error) {
				_, _, _ = host.Assign(ctx, "in/0")
				return m.Source.Fetch(ctx, room)
			}
		}, "from inside Fetch"},
		{"Commit calls Host.Revoke", "order", func(m *mutant, host connectors.Host) {
			m.commit = func(ctx context.Context, done []*connectors.Batch) error {
				host.Revoke(ctx, "in/0")
				return m.Source.Commit(ctx, done)
			}
		}, "from inside Commit"},
		{"partitions are not announced", "order", edited(func(b *connectors.Batch) { b.Partition += "!" }), "never announced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := memorySource(func(s connectors.Source, host connectors.Host) connectors.Source {
				m := &mutant{Source: s, optional: s.(optional)}
				c.seed(m, host)
				return m
			})
			h.setDefaults()
			hasty(&h.Settings, strings.HasPrefix(c.words, "never: "))
			watch(t, func(tb testing.TB) { runSourceCheck(tb, h, sourceCheckNamed(t, c.check)) }).notices(t, strings.TrimPrefix(c.words, "never: "))
		})
	}
}

func sourceCheckNamed(t *testing.T, name string) func(*sourceRun) {
	for _, c := range sourceChecks() {
		if c.name == name {
			return c.run
		}
	}
	t.Fatalf("there is no check %q", name)
	return nil
}

func TestSuiteNoticesMissingRevoke(t *testing.T) {
	h := memorySource(sameSource)
	fresh := h.New
	h.New = func(t testing.TB) Upstream {
		up := fresh(t)
		up.Rebalance = func(testing.TB) {} // nothing is taken, so Revoke is never called
		return up
	}
	h.setDefaults()
	hasty(&h.Settings, true)
	watch(t, func(tb testing.TB) { runSourceCheck(tb, h, checkSourceRebalance) }).notices(t, "never called")
}

// TestSuiteNoticesHoleAfterRebalance: a source that goes on further than was committed.
func TestSuiteNoticesHoleAfterRebalance(t *testing.T) {
	h := memorySource(sameSource)
	h.Env = func(env *connectors.Env) {
		host := env.Host.(*Host)
		host.OnAssign = func(context.Context, string) (next int64, known bool, err error) {
			return 190, len(host.Revoked()) > 0, nil
		}
	}
	h.setDefaults()
	hasty(&h.Settings, false)
	watch(t, func(tb testing.TB) { runSourceCheck(tb, h, checkSourceRebalance) }).notices(t, "was next")
}
