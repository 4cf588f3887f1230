package cmd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/telemetry"
)

// inFlight is what routes had in flight at one moment.
type inFlight struct {
	messages, bytes int64
	oldest          []string // by partition
}

func inFlightOf(all []telemetry.RouteStatus) inFlight {
	var f inFlight
	for i := range all {
		s := &all[i]
		f.messages += s.Window.Messages
		f.bytes += s.Window.Bytes
		f.oldest = append(f.oldest, oldestOf(s.Route, s.InFlight)...)
	}
	return f
}

// oldestOf tells what each lane holds and where it begins.
func oldestOf(route string, lanes []telemetry.LaneStatus) (texts []string) {
	for _, l := range lanes {
		texts = append(texts, fmt.Sprintf("%s: %s from %d, %d messages, oldest %s",
			route, l.Partition, l.Offset, l.Messages, time.Since(l.Oldest).Round(time.Millisecond)))
	}
	return texts
}

// MarshalZerologObject implements zerolog.LogObjectMarshaler.
func (f inFlight) MarshalZerologObject(e *zerolog.Event) {
	e.Int64("in_flight", f.messages).Int64("in_flight_bytes", f.bytes).Strs("in_flight_oldest", f.oldest)
}

// remains are what a drain leaves behind: messages, of which some are written already and will be there
// twice.
type remains struct {
	messages int64
	left     []bridge.Left
}

// MarshalZerologObject implements zerolog.LogObjectMarshaler.
func (r remains) MarshalZerologObject(e *zerolog.Event) {
	var written, bytes int64
	var oldest []string
	for _, l := range r.left {
		written += l.Written
		bytes += l.Bytes
		oldest = append(oldest, oldestOf(l.Route, l.InFlight)...)
	}
	e.Int64("messages", r.messages).Int64("written", written).Int64("bytes", bytes).Strs("oldest", oldest)
}

func total(all []bridge.Left) (messages int64) {
	for _, l := range all {
		messages += l.Messages
	}
	return messages
}

// uncommitted returns how many messages were fetched and not committed, which will come again. What a
// halted route fetched twice counts twice.
func (d *daemon) uncommitted() (n int64) {
	for _, s := range d.bridge.Status() {
		n += int64(s.Counts.FetchedMessages - s.Counts.CommittedMessages)
	}
	return n
}

// verdict says what became of what was in flight.
func (d *daemon) verdict(err error, draining bool) error {
	var late *bridge.DrainError
	switch {
	case errors.As(err, &late):
		d.log.Error().EmbedObject(d.begunWith).EmbedObject(remains{late.Left, d.bridge.Left()}).
			Msg("drain deadline passed; these messages are not committed and will come again")
		return &ExitError{Code: exitDrain, Err: err}
	case err != nil:
		return &ExitError{exitFailed, err}
	case draining && len(d.bridge.Left()) > 0:
		left := d.bridge.Left()
		d.log.Warn().EmbedObject(d.begunWith).EmbedObject(remains{total(left), left}).
			Msg("drained, but for what halted routes had fetched: it is not committed and will come again")
	case draining:
		d.log.Info().EmbedObject(d.begunWith).Msg("drained: everything that was in flight is acknowledged and committed")
	default:
		d.log.Info().Msg("every route has ended")
	}
	return nil
}

// abandon ends at once, with the guarantees of a kill.
func (d *daemon) abandon(s os.Signal, ended <-chan error) error {
	d.bridge.Abandon()
	code := exitSignal + int(syscall.SIGTERM)
	if number, ok := s.(syscall.Signal); ok {
		code = exitSignal + int(number)
	}
	grace := time.NewTimer(abandonGrace)
	defer grace.Stop()
	var late *bridge.DrainError
	select {
	case err := <-ended:
		if errors.As(err, &late) {
			d.log.Error().EmbedObject(d.begunWith).EmbedObject(remains{late.Left, d.bridge.Left()}).
				Msg("ended by a second signal; these messages are not committed and will come again")
			return exit(code, "ended by a second signal: %d messages are not committed and will come again", late.Left)
		}
		return &ExitError{code, errors.New("ended by a second signal")}
	case <-grace.C:
		return &ExitError{code, errors.New("ended by a second signal: what is not committed will come again")}
	}
}
