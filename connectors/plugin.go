package connectors

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
)

// Plugin names a connector and says how to build its ends. An end that is nil does not exist.
type Plugin struct {
	Name string // as configuration files write it, lower_snake_case
	// Connection is the kind under which the `connections` section holds what this connector needs
	// to reach its broker; empty if it needs none. Several plugins may share one kind.
	Connection string
	// NewConnection returns a pointer to the kind's configuration with its defaults, against which a
	// `connections` entry is checked; the same keys are also accepted in the source's and sink's own
	// section, where they win.
	NewConnection func() any
	Source        SourceFactory
	Sink          SinkFactory
	// URL turns the short form, such as kafka://host:9092/topic, into the section it stands for:
	// maps, slices and strings, as a file would hold it. The scheme is the plugin's Name. Nil: none.
	URL func(u *url.URL, end End) (map[string]any, error)
}

// End is a source or a sink.
type End uint8

// The two ends of a route.
const (
	SourceEnd End = iota
	SinkEnd
)

// Decode reads one section of the configuration into a pointer to a struct. It is strict: an unknown
// key is an error. The section's named connection is decoded first, the section over it.
type Decode func(into any) error

// A SourceFactory checks one section of the configuration and returns what opens it. A file is
// refused as a whole before anything connects.
type SourceFactory func(Decode, About) (*SourceSpec, error)

// A SinkFactory is the same for a sink.
type SinkFactory func(Decode, About) (*SinkSpec, error)

// About is what a factory may know of the route it works for.
type About struct {
	Route string
	Map   Map
	// Window is the route's hard bound.
	Window Room
}

// SourceSpec is a checked source that is ready to be opened.
type SourceSpec struct {
	// Open does no I/O that fails because a broker is away: that is a state, not an error.
	Open func(context.Context, Env) (Source, error)
	// Claims name what two routes must not share, such as "kafka group sluice-orders on topic orders".
	Claims []string
	// Losses name ways in which this source loses messages by its nature. The route is refused unless
	// its accept_loss lists each of them by Name.
	Losses []Loss
	// Facts as far as they are known before connecting.
	Facts Facts
	// Remote says that the source has a broker to reach: it counts as disconnected until it reports
	// Connected. One that is not remote is connected once it is open.
	Remote bool
	// Places name what the source reads, so that routes which lead in a circle are found: two ends that
	// share one meet there. Empty: unknown.
	Places []string
	// Named says that its batches have an Origin.
	Named bool
	// Log opens what the source reads, to be read again; nil: it cannot be. Positions opens what it has
	// committed; nil: upstream keeps none, or none that can be set.
	Log       func(context.Context, Env) (Log, error)
	Positions func(context.Context, Env) (Positions, error)
	// Subjects are what its messages may have as their Subject, with NATS wildcards; nil: unknown.
	Subjects []string
	// Examine looks at what the source connects to; nil: there is nothing to look at.
	Examine func(Env) (*Examination, error)
}

// SinkSpec is a checked sink that is ready to be opened.
type SinkSpec struct {
	Open   func(context.Context, Env) (Sink, error)
	Losses []Loss
	Facts  Facts
	Remote bool // as SourceSpec.Remote
	// Maps are the keys of Map that the sink uses: subject, topic, key, partition. A route that sets another is
	// refused, for nobody would heed it.
	Maps []string
	// Places name what the sink writes, as SourceSpec.Places. Named says that the sink is a Placer.
	Places []string
	Named  bool
	// Log opens what the sink has written, to be read again; nil: it cannot be.
	Log func(context.Context, Env) (Log, error)
	// ReadBack returns a source of what the sink's Log held when it told its ranges: beginning at its
	// position upstream, which is kept under name, Fetch returns nothing at or behind a range's End, and
	// io.EOF once every partition has got there. Nil: there is none. Dead letters are redriven through it.
	ReadBack func(name string, held []Range) (*SourceSpec, error)
	// Examine looks at what the sink connects to; subjects are those of the route's source. Nil: there is nothing
	// to look at.
	Examine func(env Env, subjects []string) (*Examination, error)
}

// Loss is a way to lose messages that the configuration has to accept by name.
type Loss struct {
	Name string // lower_snake_case, as accept_loss lists it
	Why  string // what would be lost, when
}

// Env is what a connector works with.
type Env struct {
	Route    string
	Instance string // this process's identity: lasting for the process, unique among all
	Logger   zerolog.Logger
	Tracer   trace.TracerProvider
	Host     Host
	Map      Map
	Headers  bool // sinks add Sluice-Origin, and key and time where they would be lost
	Window   Room // the route's hard bound
	MaxHops  int  // how many bridges a message may pass; 0: DefaultMaxHops
	// AcceptLoss lists the losses that the configuration accepts by name.
	AcceptLoss []string
}

// Accepts reports whether the configuration accepts the loss called name.
func (e *Env) Accepts(name string) bool { return slices.Contains(e.AcceptLoss, name) }

// Map says where messages go. Nil templates mean the sink's default.
type Map struct {
	Subject   *Template // NATS sinks
	Topic     *Template // Kafka sinks
	Key       *Template // Kafka sinks
	Partition *Template // Kafka sinks: a number
}

// Validator is implemented by configurations that can be wrong. Validate reports every fault, joined,
// each as a *FieldError where one key is to blame.
type Validator interface{ Validate() error }

// NewSource makes a factory from a typed configuration: defaults, then the section over them, then
// Validate if C has it, then spec.
func NewSource[C any](defaults func(About) C, spec func(C, About) (*SourceSpec, error)) SourceFactory {
	return func(decode Decode, about About) (*SourceSpec, error) {
		c, err := load(decode, defaults(about))
		if err != nil {
			return nil, err
		}
		return spec(c, about)
	}
}

// NewSink is NewSource for a sink.
func NewSink[C any](defaults func(About) C, spec func(C, About) (*SinkSpec, error)) SinkFactory {
	return func(decode Decode, about About) (*SinkSpec, error) {
		c, err := load(decode, defaults(about))
		if err != nil {
			return nil, err
		}
		return spec(c, about)
	}
}

func load[C any](decode Decode, c C) (C, error) {
	if err := decode(&c); err != nil {
		return c, err
	}
	if v, ok := any(&c).(Validator); ok {
		return c, v.Validate()
	}
	return c, nil
}

// Registry is the set of connectors in a build. It is a value, complete when made.
type Registry struct{ plugins []Plugin }

// NewRegistry returns a registry of plugins. A name twice is an error.
func NewRegistry(plugins ...Plugin) (*Registry, error) {
	for i, p := range plugins {
		if p.Name == "" {
			return nil, fmt.Errorf("connector %d has no name", i)
		}
		if slices.ContainsFunc(plugins[:i], func(q Plugin) bool { return q.Name == p.Name }) {
			return nil, fmt.Errorf("two connectors are named %q", p.Name)
		}
	}
	return &Registry{plugins: slices.Clone(plugins)}, nil
}

// Lookup returns the plugin called name.
func (r *Registry) Lookup(name string) (Plugin, bool) {
	i := slices.IndexFunc(r.plugins, func(p Plugin) bool { return p.Name == name })
	if i < 0 {
		return Plugin{}, false
	}
	return r.plugins[i], true
}

// Plugins returns all plugins in the order they were given.
func (r *Registry) Plugins() []Plugin { return slices.Clone(r.plugins) }
