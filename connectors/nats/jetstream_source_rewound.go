package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// sameMessage checks that the stream still holds, where the last message was read, that message. A server
// that comes back without the end of a stream, as after a power cut, gives its sequences to other
// messages, which would be taken for read. Where the message is gone by itself, or the user may not read
// single messages ($JS.API.STREAM.MSG.GET), only a stream that has become shorter is noticed.
func (s *jetStreamSource) sameMessage(ctx context.Context, stream *streamInfo, info *consumerInfo) error {
	position := s.position.Load()
	if !s.known || s.blind || position < max(1, int64(stream.State.FirstSeq)) {
		return nil
	}
	var got struct {
		Message struct {
			Time time.Time `json:"time"`
		} `json:"message"`
	}
	err := s.conn.api(ctx, "STREAM.MSG.GET."+s.cfg.Stream, map[string]int64{"seq": position}, &got)
	var denied *DeniedError
	switch {
	case isAPIError(err, errCodeNoMessage):
		return nil
	case errors.As(err, &denied):
		s.blind = true
		return nil
	case err != nil:
		return err
	case got.Message.Time.UnixNano() == s.stamp.Load():
		return nil
	}
	return connectors.Halt("source_truncated", fmt.Sprintf("sluice position %s set --to %d", s.env.Route, info.AckFloor.Stream+1),
		fmt.Errorf("stream %s holds another message at %d than the one that was read there: it has lost messages and got others since",
			s.cfg.Stream, position))
}
