package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sluice-bridge/sluice/connectors"
)

// A durable has one owner: whose mark its metadata holds. The rule, and why it does not lose:
//
//  1. Who finds another's mark asks that one's liveness inbox. It answers: stand by. Nobody listens
//     there ("no responders"): its connection is gone. Silence for pace.dead: it is taken for dead.
//  2. Taking over is mark, then RESET, then INFO, which must show the mark and nothing delivered;
//     only then is anything pulled. A RESET of somebody who marked earlier and was delayed is seen by
//     that INFO or as a hole in the deliveries, and its sender does not pull.
//  3. Before each acknowledgement of H, an INFO that is sent after H arrived must still show the mark
//     of this session. So no later RESET preceded H's delivery, and everything up to H is ours.
//  4. That INFO must also show the acknowledgement floor where this session left it. A RESET by
//     somebody who sets no mark puts the floor's delivery sequence back; without this check a
//     stranger's deliveries could be taken for our own, since numbers continue where they happen to
//     match. It also sees a floor that a late acknowledgement of an earlier session has frozen.
//
// There is no lock and no lease: who is wrong about being the owner writes messages twice, which is
// what at least once allows, but acknowledges nothing it has not written.
const (
	ownerKey = "sluice.owner"
	// positionKey holds how far the last owner had acknowledged when it left in order. The server
	// moves the floor over messages that are purged or expire; this tells them from acknowledged ones.
	positionKey = "sluice.position"
)

// pace is how fast a source notices things. Tests hurry.
type pace struct {
	// standby bounds how long a durable is without an owner after its owner has left.
	standby time.Duration
	// dead is how long an owner may be silent although its connection stands: frozen, or cut off from
	// us. Shorter, and a busy machine looks dead.
	dead time.Duration
	// blind is how long an owner that may not be asked must do nothing to be taken for dead.
	blind time.Duration
	// settle is how long after a reconnect "no responders" means little: the owner may have lost the
	// same server and be on its way back.
	settle time.Duration
	// poll is how often a live session looks at the durable: whose it is, and how much there is.
	poll time.Duration
	// The pause between two attempts to begin a session.
	pauseMin, pauseMax time.Duration
}

func defaultPace() pace {
	return pace{
		standby: 500 * time.Millisecond, dead: 5 * time.Second, blind: time.Minute, settle: 2 * time.Second,
		poll: time.Second, pauseMin: 100 * time.Millisecond, pauseMax: 5 * time.Second,
	}
}

// mark names the owner of a durable: which instance, where it can be asked whether it lives, and
// which of its sessions.
type mark struct {
	instance, inbox string
	session         uint64
}

func (m mark) String() string {
	if m.inbox == "" {
		return ""
	}
	return m.instance + " " + m.inbox + " " + strconv.FormatUint(m.session, 10)
}

// parseMark reads a mark. What is not one, such as an empty text, is nobody's.
func parseMark(text string) mark {
	fields := strings.Fields(text)
	if len(fields) != 3 || !validFilter(fields[1]) || strings.ContainsAny(fields[1], "*>") {
		return mark{}
	}
	n, err := strconv.ParseUint(fields[2], 10, 64)
	if err != nil {
		return mark{}
	}
	return mark{fields[0], fields[1], n}
}

func (i *consumerInfo) owner() mark { return parseMark(i.config.Metadata[ownerKey]) }

// instanceName makes an instance one word.
func instanceName(instance string) string {
	words := strings.Fields(instance)
	if len(words) == 0 {
		return "unnamed"
	}
	return strings.Join(words, "_")
}

// answerLiveness lets others find out that this source lives, for as long as the connection does.
func (s *jetStreamSource) answerLiveness(ctx context.Context, nc *nats.Conn) error {
	if s.listening == nc {
		return nil
	}
	_, err := nc.Subscribe(s.mark.inbox, func(m *nats.Msg) {
		_ = m.Respond([]byte(s.mark.instance)) // who asked is asking again anyway
	})
	if err != nil {
		return err
	}
	s.listening = nc
	// An owner whose inbox is not known to the server yet would look dead.
	return s.conn.reach(ctx)
}

// standBy returns when nobody else owns the durable, with what it looks like then.
func (s *jetStreamSource) standBy(ctx context.Context, info *consumerInfo) (*consumerInfo, error) {
	var watch ownerWatch
	for {
		owner := info.owner()
		if owner.inbox == "" || owner.inbox == s.mark.inbox {
			return info, nil
		}
		dead, err := s.isDead(ctx, owner, info, &watch)
		if err != nil {
			return nil, err
		}
		if dead {
			s.env.Logger.Info().Str("owner", owner.instance).Msgf("the owner of %s is gone; taking over", s.place())
			return info, nil
		}
		s.showStandby(owner.instance)
		wait(ctx, s.pace.standby)
		if info, err = s.durable.info(ctx); err != nil {
			return nil, err
		}
	}
}

// ownerWatch is what is known of another owner.
type ownerWatch struct {
	inbox    string
	answered time.Time // when it last answered, or was first seen
	moved    time.Time // when the durable last showed that somebody reads it
	seen     [2]sequences
}

// isDead asks an owner whether it lives.
func (s *jetStreamSource) isDead(ctx context.Context, owner mark, info *consumerInfo, w *ownerWatch) (bool, error) {
	now := time.Now()
	if w.inbox != owner.inbox {
		w.inbox, w.answered, w.moved = owner.inbox, now, now
	}
	if seen := [2]sequences{info.Delivered, info.AckFloor}; seen != w.seen || info.NumWaiting > 0 {
		w.seen, w.moved = seen, now
	}
	actx, cancel := context.WithTimeout(ctx, s.pace.standby)
	defer cancel()
	_, err := s.conn.request(actx, owner.inbox, nil)
	var denied *DeniedError
	switch {
	case err == nil:
		w.answered = time.Now()
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, nats.ErrNoResponders):
		return !s.reconnected || time.Since(s.upSince) > s.pace.settle, nil
	case errors.As(err, &denied):
		s.note(fmt.Errorf("cannot ask the owner %s of %s whether it lives: %w", owner.instance, s.place(), err))
		return time.Since(w.moved) > s.pace.blind, nil
	case actx.Err() != nil:
		return time.Since(w.answered) > s.pace.dead, nil
	}
	return false, err
}

// errContended says that somebody else took the durable at the same moment.
var errContended = errors.New("another instance takes the durable at the same time")

// take makes this source the owner: mark, RESET, look. Nothing of an earlier session may still be
// acknowledged when it is called. from is the sequence to begin at, or 0 for the floor.
func (s *jetStreamSource) take(ctx context.Context, info *consumerInfo, from int64) (*consumerInfo, error) {
	s.mark.session++
	set := map[string]any{}
	if s.cfg.Consumer.Create {
		set["ack_wait"], set["max_ack_pending"] = s.cfg.ackWait(), s.maxAckPending()
	}
	if err := s.durable.update(ctx, info, set, map[string]string{ownerKey: s.mark.String()}); err != nil {
		return nil, err
	}
	if err := s.durable.reset(ctx, from); err != nil {
		return nil, err
	}
	got, err := s.durable.info(ctx)
	if err != nil {
		return nil, err
	}
	if got.owner() != s.mark || got.Delivered.Consumer != 0 {
		wait(ctx, rand.N(s.pace.pauseMin/2))
		return nil, errContended
	}
	return got, nil
}

// owns checks rules 3 and 4 for a session.
func (p *pullSession) owns(info *consumerInfo, m mark) error {
	if owner := info.owner(); owner != m {
		if owner.inbox == "" {
			return fmt.Errorf("%w: the owner mark was removed from the durable", errSessionLost)
		}
		return fmt.Errorf("%w: the durable was taken over by %s", errSessionLost, owner.instance)
	}
	if !p.floorHolds(info.AckFloor) {
		return fmt.Errorf("%w: the acknowledgement floor is %d (stream %d), this session left it at %d (stream %d): somebody else resets or reads the durable, or its messages expire",
			errSessionLost, info.AckFloor.Consumer, info.AckFloor.Stream, p.floor.Consumer, p.floor.Stream)
	}
	return nil
}

// floorHolds reports whether the floor is where this session left it, or where an acknowledgement put
// it whose answer was lost. The stream sequence may have moved on over messages that the durable does
// not select, but not over one that was delivered to this session.
func (p *pullSession) floorHolds(floor sequences) bool {
	if p.explicit {
		return floor.Consumer >= p.floor.Consumer // moves message by message
	}
	if p.doubt != (sequences{}) && floor.Consumer == p.doubt.Consumer && floor.Stream >= p.doubt.Stream {
		p.floor, p.doubt = p.doubt, sequences{}
	}
	if floor.Consumer != p.floor.Consumer || floor.Stream < p.floor.Stream {
		return false
	}
	next := p.firstAfter(p.floor.Stream)
	return next == 0 || floor.Stream < next
}

// resign removes the mark, so that who stands by need not ask.
func (s *jetStreamSource) resign(ctx context.Context) error {
	info, err := s.durable.info(ctx)
	switch {
	case isAPIError(err, errCodeConsumerNotFound), isAPIError(err, errCodeStreamNotFound), !s.conn.isUp():
		return nil // nothing to resign from, or nobody to tell: who asks for us finds nobody
	case err != nil:
		return err
	case info.owner() != s.mark:
		return nil
	}
	position := info.AckFloor.Stream
	if seen, ok := s.gaps.before(); ok {
		position = min(position, seen) // a gap that has halted the route is found again
	}
	return s.durable.update(ctx, info, nil, map[string]string{positionKey: strconv.FormatUint(position, 10)})
}

func (s *jetStreamSource) place() string {
	return "durable " + s.cfg.Durable + " on stream " + s.cfg.Stream
}

// showStandby tells the bridge, once per owner.
func (s *jetStreamSource) showStandby(owner string) {
	s.mu.Lock()
	known := s.owner == owner
	s.owner = owner
	s.mu.Unlock()
	if known {
		return
	}
	s.env.Host.Report(connectors.Event{Kind: connectors.Standby, Text: owner})
}

// showActive tells the bridge that this source reads, if it stood by.
func (s *jetStreamSource) showActive() {
	s.mu.Lock()
	stood := s.owner != ""
	s.owner = ""
	s.mu.Unlock()
	if stood {
		s.env.Host.Report(connectors.Event{Kind: connectors.Active})
	}
}
