package nats

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// nearlyFull is which part of a limit is worth a word.
const nearlyFull = 0.9

// witness is what STREAM.INFO says of who serves a stream and how full it is.
type witness struct {
	Config struct {
		MaxMsgs  int64 `json:"max_msgs"`
		MaxBytes int64 `json:"max_bytes"`
	} `json:"config"`
	State struct {
		Messages int64 `json:"messages"`
		Bytes    int64 `json:"bytes"`
	} `json:"state"`
	Cluster *struct {
		Leader   string `json:"leader"`
		Replicas []peer `json:"replicas"`
	} `json:"cluster"`
}

// peer is a replica that does not lead.
type peer struct {
	Name    string        `json:"name"`
	Current bool          `json:"current"`
	Offline bool          `json:"offline"`
	Active  time.Duration `json:"active"` // since it was heard of
	Lag     uint64        `json:"lag"`
}

// Evidence implements connectors.Witness.
func (s *jetStreamSink) Evidence(ctx context.Context) string {
	return s.conn.evidence(ctx, s.cfg.Stream)
}

// Evidence implements connectors.Witness.
func (s *jetStreamSource) Evidence(ctx context.Context) string {
	return s.conn.evidence(ctx, s.cfg.Stream)
}

// evidence asks who serves a stream.
func (c *conn) evidence(ctx context.Context, stream string) string {
	c.mu.Lock()
	up, down := c.up, c.err
	c.mu.Unlock()
	if !up {
		if down == nil {
			return ""
		}
		return down.Error()
	}
	var w witness
	begin := time.Now()
	err := c.api(ctx, "STREAM.INFO."+stream, nil, &w)
	took := time.Since(begin).Round(time.Millisecond)
	switch {
	case ctx.Err() != nil:
		words := fmt.Sprintf("nats %s is connected and does not answer: nothing about stream %s for %v", c.servers, stream, took)
		if n := c.unsent(); n > 0 {
			words += fmt.Sprintf(", and its host has not taken %v", connectors.Size(n))
		}
		return words
	case err != nil:
		return fmt.Sprintf("stream %s: %v", stream, err)
	}
	return w.words(stream, took)
}

// unsent is how much was written that the server's host has not acknowledged.
func (c *conn) unsent() int {
	if c.sockets == nil {
		return 0
	}
	if s := c.sockets.newest(); s != nil {
		return connectors.Unsent(s.Conn)
	}
	return 0
}

func (w *witness) words(stream string, took time.Duration) string {
	words := w.lacks(stream)
	if c := w.Cluster; c != nil && c.Leader != "" && len(c.Replicas) > 0 {
		words = append([]string{fmt.Sprintf("%s is led by %s", stream, c.Leader)}, words...)
	}
	return strings.Join(append(words, fmt.Sprintf("the server answers after %v", took)), ", ")
}

// lacks says what is wrong with a stream.
func (w *witness) lacks(stream string) (words []string) {
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if c := w.Cluster; c != nil {
		if c.Leader == "" {
			say("%s has no leader", stream)
		}
		for _, p := range c.Replicas {
			switch {
			case p.Offline:
				say("%s offline %v", p.Name, p.Active.Round(time.Second))
			case !p.Current:
				say("%s is %d behind, heard of %v ago", p.Name, p.Lag, p.Active.Round(100*time.Millisecond))
			}
		}
	}
	if most := w.Config.MaxMsgs; most > 0 && float64(w.State.Messages) >= nearlyFull*float64(most) {
		say("%s holds %d of %d messages (max_msgs)", stream, w.State.Messages, most)
	}
	if most := w.Config.MaxBytes; most > 0 && float64(w.State.Bytes) >= nearlyFull*float64(most) {
		say("%s holds %v of %v (max_bytes)", stream, connectors.Size(w.State.Bytes), connectors.Size(most))
	}
	return words
}
