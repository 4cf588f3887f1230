package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/connectors"
)

// streamInfo is what a source looks at in an answer of STREAM.INFO.
type streamInfo struct {
	Config struct {
		Subjects          []string `json:"subjects"`
		Retention         string   `json:"retention"`
		MaxMsgsPerSubject int64    `json:"max_msgs_per_subject"`
		AllowMsgTTL       bool     `json:"allow_msg_ttl"`
		AllowRollup       bool     `json:"allow_rollup_hdrs"`

		MaxAge   time.Duration `json:"max_age"`
		MaxMsgs  int64         `json:"max_msgs"`
		MaxBytes int64         `json:"max_bytes"`
		Discard  string        `json:"discard"`
	} `json:"config"`
	Created time.Time `json:"created"`
	State   struct {
		Messages  uint64    `json:"messages"`
		Bytes     uint64    `json:"bytes"`
		FirstSeq  uint64    `json:"first_seq"`
		LastSeq   uint64    `json:"last_seq"`
		FirstTime time.Time `json:"first_ts"`
		Deleted   int64     `json:"num_deleted"` // in the middle
	} `json:"state"`
}

// sparse says that messages vanish from the middle of the stream by its nature, as with compaction.
func (i *streamInfo) sparse() bool {
	return i.Config.MaxMsgsPerSubject > 0 || i.Config.AllowMsgTTL || i.Config.AllowRollup || i.Config.Retention != "limits"
}

// sequences is a pair of a consumer's delivery sequence and the stream sequence it stands for.
type sequences struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

// consumerInfo is what a source looks at in an answer of CONSUMER.INFO.
type consumerInfo struct {
	// Raw is the whole configuration: an update must repeat what it does not change.
	Raw           json.RawMessage `json:"config"`
	Delivered     sequences       `json:"delivered"`
	AckFloor      sequences       `json:"ack_floor"`
	NumAckPending int64           `json:"num_ack_pending"`
	NumPending    uint64          `json:"num_pending"`
	NumWaiting    int             `json:"num_waiting"`

	config consumerConfig
}

// consumerConfig is the part of a consumer's configuration that matters here.
type consumerConfig struct {
	DeliverSubject    string            `json:"deliver_subject"`
	AckPolicy         string            `json:"ack_policy"`
	AckWait           time.Duration     `json:"ack_wait"`
	MaxDeliver        int               `json:"max_deliver"`
	MaxAckPending     int               `json:"max_ack_pending"`
	HeadersOnly       bool              `json:"headers_only"`
	InactiveThreshold time.Duration     `json:"inactive_threshold"`
	FilterSubject     string            `json:"filter_subject"`
	FilterSubjects    []string          `json:"filter_subjects"`
	MaxBatch          int               `json:"max_batch"`
	MaxExpires        time.Duration     `json:"max_expires"`
	MaxBytes          int               `json:"max_bytes"`
	PriorityPolicy    string            `json:"priority_policy"`
	Metadata          map[string]string `json:"metadata"`
}

func (c *consumerConfig) filters() []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// durable is the durable consumer of a source, as the JetStream API (ADR-1, ADR-60) shows it.
type durable struct {
	conn         *conn
	stream, name string
}

func (d *durable) streamInfo(ctx context.Context) (*streamInfo, error) {
	var info streamInfo
	err := d.conn.api(ctx, "STREAM.INFO."+d.stream, nil, &info)
	if isAPIError(err, errCodeStreamNotFound) {
		return nil, fmt.Errorf("nats %s: stream %s does not exist: %w", d.conn.servers, d.stream, err)
	}
	return &info, err
}

func (d *durable) info(ctx context.Context) (*consumerInfo, error) {
	var info consumerInfo
	if err := d.conn.api(ctx, "CONSUMER.INFO."+d.stream+"."+d.name, nil, &info); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(info.Raw, &info.config); err != nil {
		return nil, fmt.Errorf("nats %s: durable %s: %w", d.conn.servers, d.name, err)
	}
	return &info, nil
}

// create makes the durable. One that exists with the same configuration is no error.
func (d *durable) create(ctx context.Context, config map[string]any) error {
	config["durable_name"], config["name"] = d.name, d.name
	return d.write(ctx, "create", "", config)
}

// update changes the keys of set, replaces our metadata by own, and keeps the rest of the
// configuration as info read it.
func (d *durable) update(ctx context.Context, info *consumerInfo, set map[string]any, own map[string]string) error {
	config, err := d.changed(info, set, own)
	if err != nil {
		return err
	}
	return d.write(ctx, "update", info.config.FilterSubject, config)
}

// recreate replaces the durable by one that is configured as info read it, but begins at seq and has own as
// our metadata.
func (d *durable) recreate(ctx context.Context, info *consumerInfo, seq int64, own map[string]string) error {
	config, err := d.changed(info, map[string]any{"deliver_policy": "by_start_sequence", "opt_start_seq": seq}, own)
	if err != nil {
		return err
	}
	delete(config, "opt_start_time")
	if err := d.conn.api(ctx, "CONSUMER.DELETE."+d.stream+"."+d.name, nil, nil); err != nil {
		return err
	}
	if err := d.write(ctx, "create", info.config.FilterSubject, config); err != nil {
		return fmt.Errorf("durable %s on stream %s was deleted to be created anew at %d, and that failed: %w", d.name, d.stream, seq, err)
	}
	return nil
}

// changed returns the configuration that info read with the keys of set, and our metadata replaced by own.
func (d *durable) changed(info *consumerInfo, set map[string]any, own map[string]string) (map[string]any, error) {
	config := map[string]any{}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(info.Raw, &raw); err != nil {
		return nil, fmt.Errorf("nats %s: durable %s: %w", d.conn.servers, d.name, err)
	}
	for k, v := range raw {
		config[k] = v
	}
	maps.Copy(config, set)
	metadata := map[string]string{}
	for k, v := range info.config.Metadata {
		if !strings.HasPrefix(k, "_nats.") { // the server's own
			metadata[k] = v
		}
	}
	delete(metadata, ownerKey)
	delete(metadata, positionKey)
	maps.Copy(metadata, own)
	config["metadata"] = metadata
	return config, nil
}

// write sends a configuration. The API wants a single filter to stand in its subject too.
func (d *durable) write(ctx context.Context, action, filter string, config map[string]any) error {
	subject := "CONSUMER.CREATE." + d.stream + "." + d.name
	if filter != "" {
		subject += "." + filter
	}
	return d.conn.api(ctx, subject, map[string]any{"stream_name": d.stream, "config": config, "action": action}, nil)
}

// reset has everything behind the acknowledgement floor delivered again, numbered from 1. With seq
// the floor is first moved to the sequence before it.
func (d *durable) reset(ctx context.Context, seq int64) error {
	var body any
	if seq > 0 {
		body = map[string]int64{"seq": seq}
	}
	return d.conn.api(ctx, "CONSUMER.RESET."+d.stream+"."+d.name, body, nil)
}

// newDurable is the configuration of a durable that does not exist. from is the sequence to begin
// at, if the source has read before; else start says it.
func (s *jetStreamSource) newDurable(from int64, stream *streamInfo, explicit bool) map[string]any {
	config := map[string]any{
		"description":     "Sluice route " + s.env.Route,
		"ack_policy":      "all",
		"ack_wait":        s.cfg.ackWait(),
		"max_deliver":     -1,
		"max_ack_pending": s.maxAckPending(),
		"replay_policy":   "instant",
		"deliver_policy":  "all",
		"num_replicas":    0,
	}
	if explicit {
		config["ack_policy"] = "explicit"
	}
	if len(s.cfg.Subjects) > 0 {
		config["filter_subjects"] = s.cfg.Subjects
	}
	begin := func(seq uint64) {
		config["deliver_policy"], config["opt_start_seq"] = "by_start_sequence", seq
	}
	start, _ := parseStart(s.cfg.Start) // Validate has seen it
	switch {
	case from > 0:
		begin(uint64(from))
	case start.earliest:
	case start.sequence > 0:
		begin(start.sequence)
	case start.ago > 0:
		config["deliver_policy"], config["opt_start_time"] = "by_start_time", time.Now().Add(-start.ago).UTC()
	case !start.time.IsZero():
		config["deliver_policy"], config["opt_start_time"] = "by_start_time", start.time.UTC()
	default: // latest, as a number: so that it stays what it was when first asked
		begin(stream.State.LastSeq + 1)
	}
	return config
}

// maxAckPending lets everything be pending that the bridge may hold uncommitted: up to four windows
// before a Fetch, which may add one, and one more that was asked for.
func (s *jetStreamSource) maxAckPending() int { return 6 * s.window }

// fit checks that a durable can be read without losing or altering messages. Every fault is told at
// once; all need an operator.
func (s *jetStreamSource) fit(c *consumerConfig) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DeliverSubject != "" {
		bad("it is a push consumer; name another durable")
	}
	if c.AckPolicy == "none" {
		bad("its ack policy is none, so what is in flight at a crash would be lost; it must be all or explicit")
	}
	if s.cfg.Shared && c.AckPolicy == "all" {
		bad("its ack policy is all, and shared: true needs explicit; name another durable or leave shared out")
	}
	if c.MaxDeliver > 0 && !s.env.Accepts("max_deliver") {
		bad("max_deliver %d gives messages up after so many deliveries: set it to -1, or accept the loss with accept_loss: [max_deliver]", c.MaxDeliver)
	}
	if c.HeadersOnly {
		bad("it delivers headers only")
	}
	if c.InactiveThreshold > 0 {
		bad("inactive_threshold %v deletes it, and its position, while nobody reads; set it to 0", c.InactiveThreshold)
	}
	if c.PriorityPolicy != "" && c.PriorityPolicy != "none" {
		bad("it has the priority policy %s; name another durable", c.PriorityPolicy)
	}
	if have, want := slices.Sorted(slices.Values(c.filters())), slices.Sorted(slices.Values(s.cfg.Subjects)); len(want) > 0 && !slices.Equal(have, want) {
		bad("it filters [%s], the configuration says subjects [%s]; change one of them", strings.Join(have, " "), strings.Join(want, " "))
	}
	if err := errors.Join(errs...); err != nil {
		return connectors.Halt("durable_unfit", "", fmt.Errorf("durable %s on stream %s is not fit: %w", s.cfg.Durable, s.cfg.Stream, err))
	}
	return nil
}
