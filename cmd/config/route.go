package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/flowcontrol"
)

// routeName is what a route may be called: it becomes part of a group's and a durable's name.
var routeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// runtimeLosses returns the losses that connectors find only once they are connected, so that no spec
// lists them beforehand.
func runtimeLosses() []string { return []string{"core_source", "discard_old", "max_deliver"} }

// routes reads every route of every document, in order.
func (r *reader) routes(docs []*document) {
	for _, d := range docs {
		key, list := find(d.root, "routes")
		if key == nil {
			continue
		}
		top := section{doc: d, key: key, value: list, path: "routes", outer: []scope{{"", keysOf[root]()}}}
		if list.Kind != yaml.MappingNode || len(list.Content) == 0 {
			r.add(top.at(), codeMissing, `write them as routes: {orders: {from: "kafka://...", to: "jetstream://..."}}`,
				"routes has to name at least one route")
			continue
		}
		for i := 0; i+1 < len(list.Content); i += 2 {
			name, value := list.Content[i], list.Content[i+1]
			r.route(top.child(name.Value, name, value, top.outer))
		}
	}
}

// route reads one route and everything below it.
func (r *reader) route(s section) {
	name := s.key.Value
	if !routeName.MatchString(name) {
		r.add(s.at(), codeName, "letters, digits, _ and -, at most 63: it becomes part of a group's or durable's name",
			"%q cannot name a route", name)
	}
	if first, ok := r.seen[name]; ok {
		r.add(s.at(), codeDuplicate, "it stands in "+first.String()+" already", "the route %q stands twice", name)
		return
	}
	r.seen[name] = s.at()
	if s.value.Kind != yaml.MappingNode {
		r.add(s.at(), codeMissing, "give it source and sink, or from and to", "the route %q is empty", name)
		return
	}
	f := newRouteFile()
	r.decode(s, &f)
	r.checkRoute(s, &f)

	rc := bridge.RouteConfig{
		Name: name, Headers: f.Headers != "none", AcceptLoss: f.AcceptLoss,
		Window:    flowcontrol.Cost{Messages: f.Window.MaxMessages, Bytes: int64(f.Window.MaxBytes)},
		Adaptive:  f.Window.Size == "adaptive",
		Limit:     bridge.Limit{Messages: float64(f.Limit.Messages), Bytes: float64(f.Limit.Bytes)},
		Retry:     bridge.Retry{Initial: time.Duration(f.Retry.Initial), Max: time.Duration(f.Retry.Max)},
		HaltOnGap: f.OnGap == "halt", Paused: f.Paused,
	}
	rc.Map, rc.Transform = r.mapping(s, &f)
	if f.MaxHops != nil {
		rc.MaxHops = *f.MaxHops
	}
	about := connectors.About{
		Route: name, Map: rc.Map,
		Window: connectors.Room{Messages: int(rc.Window.Messages), Bytes: rc.Window.Bytes},
	}
	keys := keysOf[routeFile]()
	if e, ok := r.end(s, keys, connectors.SourceEnd, "source", "from"); ok {
		rc.SourceName = e.plugin.Name
		rc.Source = r.source(e, about)
		r.note(&rc, e, End{Source: rc.Source})
	}
	if e, ok := r.end(s, keys, connectors.SinkEnd, "sink", "to"); ok {
		rc.SinkName = e.plugin.Name
		rc.Sink = r.sink(e, about)
		r.note(&rc, e, End{Sink: rc.Sink, Map: rc.Map})
		r.unheeded(s, keys, e, rc.Sink)
	}
	r.deadLetter(s, keys, &rc, about)
	r.onReject(s, &rc)
	r.stale(s, &f.Stale, &rc)
	r.losses(s, &rc)
	rc.Digest = r.digest(s)
	r.cfg.Bridge.Routes = append(r.cfg.Bridge.Routes, rc)
}

// newRouteFile returns a route of which nothing is written.
func newRouteFile() routeFile {
	return routeFile{
		Window: windowFile{bridge.DefaultMaxMessages, bridge.DefaultMaxBytes, "static"},
		Retry: retryFile{
			connectors.Duration(bridge.DefaultRetryInitial), connectors.Duration(bridge.DefaultRetryMax),
		},
	}
}

// checkRoute reports values of a route that have the right kind and cannot be meant.
func (r *reader) checkRoute(s section, f *routeFile) {
	fault := func(path, hint, format string, args ...any) {
		if at := s.doc.at(deepest(s.value, path, s.key)); !r.has(at) {
			r.add(at, codeValue, hint, format, args...)
		}
	}
	if n := f.Window.MaxMessages; n < 1 || n > flowcontrol.MaxMessages {
		fault("window.max_messages", "", "max_messages is %d; it has to be 1 to %d", n, flowcontrol.MaxMessages)
	}
	if n := int64(f.Window.MaxBytes); n < 1 || n > flowcontrol.MaxBytes {
		fault("window.max_bytes", "", "max_bytes is %s; it has to be at least 1B and less than %s",
			f.Window.MaxBytes, connectors.Size(flowcontrol.MaxBytes+1))
	}
	if sizes := []string{"adaptive", "static"}; !slices.Contains(sizes, f.Window.Size) {
		fault("window.size", didYouMean(f.Window.Size, sizes), "%q is not a size of a window", f.Window.Size)
	}
	if f.Retry.Initial <= 0 {
		fault("retry.initial", "", "initial has to be more than zero")
	}
	if f.Retry.Max < f.Retry.Initial {
		fault("retry.max", "", "max is %s, less than initial (%s)", f.Retry.Max, f.Retry.Initial)
	}
	if !slices.Contains([]string{"", "default", "none"}, f.Headers) {
		fault("headers", didYouMean(f.Headers, []string{"default", "none"}), "%q is not a way to treat headers", f.Headers)
	}
	if n := f.MaxHops; n != nil && (*n < 1 || *n > connectors.MostHops) {
		fault("max_hops", "", "max_hops is %d; it has to be 1 to %d", *n, connectors.MostHops)
	}
	if !slices.Contains([]string{"", "continue", "halt"}, f.OnGap) {
		fault("on_gap", didYouMean(f.OnGap, []string{"continue", "halt"}), "%q is not what can happen at a gap", f.OnGap)
	}
}

// deadLetter reads where messages go that the route takes out.
func (r *reader) deadLetter(s section, keys []string, rc *bridge.RouteConfig, about connectors.About) {
	key, value := find(s.value, "dead_letter")
	if key == nil {
		return
	}
	d := s.child("dead_letter", key, value, s.in(keys))
	if value.Kind != yaml.MappingNode {
		r.add(d.at(), codeMissing, "such as dead_letter: {sink: {...}, map: {...}}", "dead_letter does not say where dead letters go")
		return
	}
	var f deadLetterFile
	r.decode(d, &f)
	rc.DeadLetterMap = f.Map.compile()
	about.Map = rc.DeadLetterMap
	if e, ok := r.end(d, keysOf[deadLetterFile](), connectors.SinkEnd, "sink", "to"); ok {
		rc.DeadLetter = r.sink(e, about)
		r.note(rc, e, End{Sink: rc.DeadLetter, Map: rc.DeadLetterMap})
		r.unheeded(d, keysOf[deadLetterFile](), e, rc.DeadLetter)
	}
}

// onReject reads what happens to a refused message.
func (r *reader) onReject(s section, rc *bridge.RouteConfig) {
	key, value := find(s.value, "on_reject")
	if key == nil {
		return
	}
	switch value.Value {
	case "halt":
	case "drop":
		rc.OnReject = bridge.Drop
	case "dead_letter":
		rc.OnReject = bridge.DeadLetter
		if target, _ := find(s.value, "dead_letter"); target == nil {
			r.add(s.doc.at(value), codeMissing, "add dead_letter: {sink: {...}} to the route", "on_reject: dead_letter has no target")
		}
	default:
		hint := "there is halt, drop, dead_letter"
		if value.Kind == yaml.MappingNode {
			hint += "; where dead letters go stands beside it: dead_letter: {sink: {...}}"
		}
		r.add(s.doc.at(value), codeValue, hint, "this is not what can happen to a refused message")
	}
}

// stale reads what happens to messages that are too old. Nothing of it has a default: it loses messages.
func (r *reader) stale(s section, f *staleFile, rc *bridge.RouteConfig) {
	key, value := find(s.value, "stale")
	if key == nil || value.Kind != yaml.MappingNode {
		return
	}
	const example = "write stale: {older_than: 24h, do: drop}"
	fault := func(path, hint, format string, args ...any) {
		at := s.doc.at(deepest(value, path, key))
		if !r.has(at) && !r.misspelt(s.child("stale", key, value, nil), path) {
			r.add(at, codeValue, hint, format, args...)
		}
	}
	do, _ := find(value, "do")
	target, _ := find(s.value, "dead_letter")
	switch {
	case do == nil:
		fault("do", example, "stale does not say what to do with old messages")
	case f.Do != "drop" && f.Do != "dead_letter":
		fault("do", didYouMean(f.Do, []string{"drop", "dead_letter"}), "%q is not what can happen to a stale message", f.Do)
	case f.Do == "dead_letter" && target == nil:
		fault("do", "add dead_letter: {sink: {...}} to the route", "stale messages have no dead-letter target")
	}
	if f.OlderThan <= 0 {
		fault("older_than", example, "older_than has to be more than zero")
	}
	rc.Stale = bridge.Stale{OlderThan: time.Duration(f.OlderThan), DeadLetter: f.Do == "dead_letter"}
}

// unheeded refuses the keys of a section's map that its sink would not look at.
func (r *reader) unheeded(s section, keys []string, e end, sink *connectors.SinkSpec) {
	key, value := find(s.value, "map")
	if sink == nil || value == nil || value.Kind != yaml.MappingNode {
		return
	}
	m := s.child("map", key, value, s.in(keys))
	for _, name := range keysOf[mapFile]() {
		if name == "headers" {
			continue // of the bridge
		}
		if at, _ := find(m.value, name); at != nil && !slices.Contains(sink.Maps, name) {
			r.add(m.doc.at(at), codeValue, "", "the connector %q does not use map.%s", e.plugin.Name, name)
		}
	}
}

// losses refuses a route that may lose messages in a way it does not accept by name.
func (r *reader) losses(s section, rc *bridge.RouteConfig) {
	var losses []connectors.Loss
	if rc.Source != nil {
		losses = append(losses, rc.Source.Losses...)
	}
	for _, sink := range []*connectors.SinkSpec{rc.Sink, rc.DeadLetter} {
		if sink != nil {
			losses = append(losses, sink.Losses...)
		}
	}
	known := runtimeLosses()
	for _, loss := range losses {
		known = append(known, loss.Name)
		if !slices.Contains(rc.AcceptLoss, loss.Name) {
			accepted := strings.Join(append(slices.Clone(rc.AcceptLoss), loss.Name), ", ")
			r.add(s.at(), codeLossy, "if that is acceptable: accept_loss: ["+accepted+"]",
				"the route %q may lose messages: %s", rc.Name, loss.Why)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	_, list := find(s.value, "accept_loss")
	for i, name := range rc.AcceptLoss {
		if !slices.Contains(known, name) && list.Kind == yaml.SequenceNode && i < len(list.Content) {
			r.add(s.doc.at(list.Content[i]), codeValue, didYouMean(name, known), "%q is not a loss that can be accepted", name)
		}
	}
}

// claims refuses two routes that would take the same messages from each other.
func (r *reader) claims(at place, route string, claims []string) {
	for _, claim := range claims {
		first, taken := r.claimed[claim]
		if !taken {
			r.claimed[claim] = claimant{route, at}
			continue
		}
		if first.route != route {
			r.add(at, codeConflict, "give each its own, or join the two routes",
				"the route %q and the route %q (%s) both use %s", route, first.route, first.at, claim)
		}
	}
}

// deepest returns the node of the longest part of path that exists below n, else otherwise.
func deepest(n *yaml.Node, path string, otherwise *yaml.Node) *yaml.Node {
	at := otherwise
	for name := range strings.SplitSeq(strings.NewReplacer("[", ".", "]", "").Replace(path), ".") {
		key, value := find(n, name)
		if i, ok := index(name); ok && n != nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			key, value = n.Content[i], n.Content[i]
		}
		if key == nil {
			return at
		}
		at, n = key, value
	}
	return cmp.Or(scalar(n), at)
}

// scalar returns n if it stands for itself: the value is to blame then, not its key.
func scalar(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.ScalarNode && n.Line > 0 {
		return n
	}
	return nil
}

func index(name string) (n int, ok bool) {
	if name == "" || len(name) > 6 {
		return 0, false
	}
	for _, c := range name {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
