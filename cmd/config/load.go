package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

// Config is a checked configuration. Nothing has been connected.
type Config struct {
	Bridge    bridge.Config // without Instance
	Admin     Admin
	Log       Log
	Telemetry Telemetry
	Redacted  string   // the files as they were read, without comments and secrets
	Merged    string   // the same as one file, without what is only how it was put together: include and defaults
	Warnings  Findings // what is no fault and hardly meant
	Ends      []End    // of all routes, in order
	Secrets   []Secret // the files of secrets that are read at each connection, once each

	files    []string // that it was read from
	includes []string // the patterns of those that others include
}

// Watched returns the files that the configuration stands in, and those that it would include now, also of one that is
// refused. Those of secrets are not among them.
func (c *Config) Watched() []string {
	all := slices.Clone(c.files)
	for _, pattern := range c.includes {
		all = append(all, matches(pattern)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// End is one end of a route, as the file has it.
type End struct {
	Route      string
	Path       string // such as routes.orders.source.kafka
	At         string // such as sluice.yaml:7
	Connection string // the named connection that it uses, such as connections.kafka-eu; empty: none
	Source     *connectors.SourceSpec
	Sink       *connectors.SinkSpec // or this
	Map        connectors.Map       // of the sink
}

// Secret is a value that is what a file holds.
type Secret struct {
	File string
	At   string // such as sluice.yaml:7
}

// Given is what a command line gives: files, or else a pair of URLs.
type Given struct {
	Files []string
	Pair  Pair
	Set   []string // as path=value, over what the files say
}

// Read reads a configuration. Its error is Findings where the configuration is at fault, and anything else where a
// file cannot be read; the Config is good for Watched then, and for nothing else.
func Read(registry *connectors.Registry, env func(string) (string, bool), g Given) (*Config, error) {
	r := newReader(registry)
	docs := []*document{}
	if len(g.Files) == 0 {
		docs = append(docs, r.pair(g.Pair))
	} else if err := r.files(env, g.Files, &docs); err != nil {
		return &r.cfg, err
	}
	r.set(docs, g.Set, env)
	return r.read(docs)
}

// Files is Read of files.
func Files(registry *connectors.Registry, env func(string) (string, bool), paths ...string) (*Config, error) {
	return Read(registry, env, Given{Files: paths})
}

// URLs is Read of a pair.
func URLs(registry *connectors.Registry, p Pair) (*Config, error) {
	return Read(registry, nil, Given{Pair: p})
}

// files reads files and what they include. Those that cannot be read come all at once.
func (r *reader) files(env func(string) (string, bool), paths []string, docs *[]*document) error {
	var unreadable []error
	one := func(path string) *document {
		data, err := readFile(path)
		if err != nil {
			unreadable = append(unreadable, err)
			return nil
		}
		d := parse(&r.lint, path, data, Placeholders{Env: env, Dir: filepath.Dir(path)})
		*docs = append(*docs, d)
		r.cfg.files = append(r.cfg.files, path)
		return d
	}
	var including []*document
	for _, path := range paths {
		if d := one(path); d != nil {
			including = append(including, d)
		}
	}
	for _, d := range including {
		for _, path := range r.included(d) {
			if d := one(path); d != nil {
				r.nested(d)
			}
		}
	}
	return errors.Join(unreadable...)
}

// readFile reads a little more than a file may hold, for parse to say so.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// Text reads a configuration from a text that a program made. name stands in findings; there are no
// placeholders.
func Text(registry *connectors.Registry, name, text string) (*Config, error) {
	r := newReader(registry)
	return r.read([]*document{parse(&r.lint, name, []byte(text), Placeholders{})})
}

// Pair is a route given on the command line.
type Pair struct {
	Name       string // empty: named after the source
	From, To   string // URLs
	AcceptLoss []string
}

// pair makes a document of one route from the command line. Findings point at the flags.
func (r *reader) pair(p Pair) *document {
	if p.Name == "" {
		p.Name = nameFromURL(p.From)
	}
	d := newDocument("command line")
	d.lines = []string{"--from " + p.From, "--to " + p.To, "--route " + p.Name, "--accept-loss " + strings.Join(p.AcceptLoss, ",")}
	text := func(value string, line, column int) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Line: line, Column: column}
	}
	pair := func(line int, kv ...*yaml.Node) *yaml.Node {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: kv, Line: line, Column: 1}
	}
	losses := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: 4, Column: 1}
	for _, loss := range p.AcceptLoss {
		losses.Content = append(losses.Content, text(loss, 4, len("--accept-loss ")+1))
	}
	route := pair(3,
		text("from", 1, 1), text(p.From, 1, len("--from ")+1),
		text("to", 2, 1), text(p.To, 2, len("--to ")+1),
		text("accept_loss", 4, 1), losses)
	d.root = pair(1, text("routes", 1, 1), pair(1, text(p.Name, 3, len("--route ")+1), route))
	r.addText("", p.From)
	r.addText("", p.To)
	return d
}

var notName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// nameFromURL names a route after what it reads, so that the next start with the same URL goes on where
// this one ended.
func nameFromURL(from string) string {
	u, err := parseURL(from)
	if err != nil {
		return "route"
	}
	name := strings.Trim(notName.ReplaceAllString(cmp.Or(strings.Trim(u.Path, "/"), u.Hostname()), "-"), "-_")
	if name == "" {
		return "route"
	}
	return name[:min(len(name), 63)]
}

// reader turns documents into a Config.
type reader struct {
	lint
	registry *connectors.Registry
	cfg      Config
	named    []connection
	used     []section           // the connections of the route that is being read
	seen     map[string]place    // routes
	claimed  map[string]claimant // what routes must not share
}

type claimant struct {
	route string
	at    place
}

func (p place) String() string {
	p = p.real()
	return fmt.Sprintf("%s:%d", p.doc.name, max(p.line, 1))
}

func newReader(registry *connectors.Registry) *reader {
	return &reader{registry: registry, seen: map[string]place{}, claimed: map[string]claimant{}}
}

func (r *reader) read(docs []*document) (*Config, error) {
	docs = slices.DeleteFunc(docs, func(d *document) bool { return d.root == nil })
	if len(docs) == 0 {
		return &r.cfg, r.err()
	}
	r.top(docs)
	r.spread(docs)
	r.readConnections(docs)
	r.routes(docs)
	r.loops()
	if err := r.err(); err != nil {
		return &r.cfg, err
	}
	r.secretFiles(docs)
	r.cfg.Redacted, r.cfg.Merged = r.redact(docs), r.merge(docs)
	r.cfg.Warnings = r.warnings(docs)
	return &r.cfg, nil
}

// secretFiles lists the files in which values stand.
func (r *reader) secretFiles(docs []*document) {
	var all []Secret
	for _, d := range docs {
		for n, file := range d.files {
			all = append(all, Secret{file, d.at(n).String()})
		}
	}
	slices.SortFunc(all, func(a, b Secret) int { return cmp.Or(strings.Compare(a.File, b.File), strings.Compare(a.At, b.At)) })
	r.cfg.Secrets = slices.CompactFunc(all, func(a, b Secret) bool { return a.File == b.File })
}

// newRoot returns a file of which nothing is written.
func newRoot() root {
	return root{
		Version:  1,
		Admin:    Admin{Listen: DefaultListen, Tap: TapMetadata},
		Log:      Log{Level: "info", Format: "auto"},
		Shutdown: Shutdown{Drain: connectors.Duration(bridge.DefaultDrain)},
	}
}

// top reads everything that is neither a connection nor a route.
func (r *reader) top(docs []*document) {
	f := newRoot()
	first := map[string]place{}
	anyRoute := false
	for _, d := range docs {
		s := section{doc: d, key: d.root, value: d.root}
		r.decode(s, &f)
		for i := 0; i+1 < len(d.root.Content); i += 2 {
			key := d.root.Content[i]
			anyRoute = anyRoute || key.Value == "routes"
			if key.Value == "routes" || key.Value == "connections" || key.Value == "version" || key.Value == "include" {
				continue
			}
			if at, twice := first[key.Value]; twice {
				r.add(d.at(key), codeDuplicate, "it stands in "+at.String()+" already", "the section %q stands in two files", key.Value)
			}
			first[key.Value] = d.at(key)
		}
		r.checkTop(s, &f)
	}
	if !anyRoute {
		r.add(place{docs[0], 1, 1}, codeMissing, `add routes: {orders: {from: "kafka://...", to: "jetstream://..."}}`, "there is no route")
	}
	r.cfg.Admin, r.cfg.Log, r.cfg.Telemetry = f.Admin, f.Log, f.Telemetry
	r.cfg.Bridge.Drain = time.Duration(f.Shutdown.Drain)
}

func (r *reader) checkTop(s section, f *root) {
	fault := func(path, hint, format string, args ...any) {
		at := s.doc.at(deepest(s.value, path, s.key))
		if key, _ := find(s.value, strings.SplitN(path, ".", 2)[0]); key != nil && !r.has(at) {
			r.add(at, codeValue, hint, format, args...)
		}
	}
	if f.Version != 1 {
		fault("version", "this build reads version: 1", "there is no version %d of the configuration", f.Version)
	}
	if _, _, err := net.SplitHostPort(f.Admin.Listen); err != nil && f.Admin.Listen != AdminOff {
		fault("admin.listen", "such as "+DefaultListen+", or off", "%q is not an address to listen at", f.Admin.Listen)
	}
	oneOf := func(path, value string, words ...string) {
		if !slices.Contains(words, value) {
			hint := ""
			if near, ok := nearest(value, words); ok {
				hint = didYouMean(value, []string{near})
			}
			fault(path, hint, "%q is not one of %s", value, strings.TrimPrefix(strings.Join(words, ", "), ", "))
		}
	}
	oneOf("admin.tap", f.Admin.Tap, TapOff, TapMetadata, TapPayload)
	oneOf("log.level", f.Log.Level, "trace", "debug", "info", "warn", "error")
	oneOf("log.format", f.Log.Format, "auto", "console", "json")
	if f.Shutdown.Drain <= 0 || f.Shutdown.Drain > maxDrain {
		fault("shutdown.drain", "such as 25s", "drain is %s; it has to be more than 0s and at most %s", f.Shutdown.Drain, maxDrain)
	}
	tel := f.Telemetry
	oneOf("telemetry.protocol", tel.Protocol, "", "grpc", "http/protobuf")
	oneOf("telemetry.traces", tel.Traces, "", "otlp", "console", "none")
	oneOf("telemetry.metrics", tel.Metrics, "", "otlp", "none")
	if u, err := url.Parse(tel.Endpoint); tel.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		fault("telemetry.endpoint", "such as http://localhost:4317; https sends by TLS", "the endpoint is not a URL with http:// or https://")
	}
	if u, err := url.Parse(tel.TraceURL); tel.TraceURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		!strings.Contains(tel.TraceURL, "{trace_id}")) {
		fault("telemetry.trace_url", "such as http://localhost:16686/trace/{trace_id}", "the trace URL is not one with http:// or https:// and {trace_id}")
	}
}
