package bridge

import (
	"fmt"
	"time"

	"github.com/sluice-bridge/sluice/bridge/transform"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// Config is what a bridge runs.
type Config struct {
	Routes   []RouteConfig
	Instance string        // this process's identity: unique among all that share brokers
	Drain    time.Duration // how long a soft end may take; 0: DefaultDrain
	Memory   int64         // bytes that the process may take, 0: any: where the windows are more, the routes share a budget
}

// The defaults.
const (
	DefaultDrain        = 25 * time.Second
	DefaultMaxMessages  = 8192
	DefaultMaxBytes     = 64 << 20
	DefaultRetryInitial = 100 * time.Millisecond
	DefaultRetryMax     = 30 * time.Second
)

// RouteConfig is one route, checked.
type RouteConfig struct {
	Name       string
	SourceName string // the connectors' names, for people
	SinkName   string
	Source     *connectors.SourceSpec
	Sink       *connectors.SinkSpec
	// DeadLetter is where messages go that the route takes out: by OnReject, which requires it then, or
	// because the operator says so. Nil: nowhere.
	DeadLetter *connectors.SinkSpec
	Map        connectors.Map
	// Transform filters and maps messages before they are written; nil: all are written as they are.
	Transform *transform.Program
	// DeadLetterMap is the mapping of the dead-letter sink.
	DeadLetterMap connectors.Map
	Headers       bool
	Window        flowcontrol.Cost // the hard bound; zero fields: the defaults
	Adaptive      bool             // below Window's messages the sink decides how many are in flight
	Limit         Limit            // how much may be fetched a second
	Retry         Retry
	OnReject      Reject
	Stale         Stale
	HaltOnGap     bool // source data that expired or was purged before it was read halts the route
	AcceptLoss    []string
	// WayBack is the route that leads back from where this one writes to where it reads. With one, messages
	// that came from where the sink writes are not sent there again. The sink is a connectors.Placer then.
	WayBack string
	MaxHops int // how many bridges a message may pass; 0: connectors.DefaultMaxHops

	Paused bool // from the start, until Resume

	// Digest stands for everything above that the configuration says, but Limit, Paused and WayBack, and for how the ends
	// connect: two readings of a route that share one are the same. Empty: nobody knows, and Reload begins the
	// route anew.
	Digest string

	redrive *Redrive // set by Redrive.Of
}

// Retry is how long to wait between attempts: a random time up to a bound that starts at Initial and
// doubles up to Max ("full jitter"). There is no last attempt.
type Retry struct{ Initial, Max time.Duration }

// Reject is what happens to a message that the sink refuses for good.
type Reject uint8

// The reject policies.
const (
	Halt       Reject = iota // the route stops and waits for an operator
	DeadLetter               // the message goes to the dead-letter sink
	Drop                     // the message is dropped, counted and logged
)

// Stale is what happens to messages that are older than OlderThan when they are about to be written; 0:
// they are written like any other. A message without a time is never stale.
type Stale struct {
	OlderThan  time.Duration
	DeadLetter bool // to the dead-letter sink; else they are dropped
}

func (c *RouteConfig) setDefaults() {
	if c.Window.Messages == 0 {
		c.Window.Messages = DefaultMaxMessages
	}
	if c.Window.Bytes == 0 {
		c.Window.Bytes = DefaultMaxBytes
	}
	if c.Retry.Initial == 0 {
		c.Retry.Initial = DefaultRetryInitial
	}
	if c.Retry.Max == 0 {
		c.Retry.Max = DefaultRetryMax
	}
}

// shapes reports whether the lanes filter or map messages; a redrive does so to what its letters were.
func (c *RouteConfig) shapes() bool { return c.Transform != nil && c.redrive == nil }

func (c *RouteConfig) validate() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("a route has no name")
	case c.Source == nil || c.Sink == nil:
		return fmt.Errorf("route %s: source and sink are required", c.Name)
	case c.OnReject == DeadLetter && c.DeadLetter == nil:
		return fmt.Errorf("route %s: dead letters need a sink", c.Name)
	case c.Stale.DeadLetter && c.DeadLetter == nil:
		return fmt.Errorf("route %s: dead letters of stale messages need a sink", c.Name)
	}
	return nil
}
