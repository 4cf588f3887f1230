package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

// Start returns the text of a file to start from: the route of a pair written out, and what people change most as
// comments. It is valid.
func Start(registry *connectors.Registry, p Pair) (string, error) {
	cfg, err := URLs(registry, p)
	if err != nil {
		return "", err
	}
	source, err := startEnd(registry, p.From, connectors.SourceEnd)
	if err != nil {
		return "", err
	}
	sink, err := startEnd(registry, p.To, connectors.SinkEnd)
	if err != nil {
		return "", err
	}
	if source.connection == sink.connection && !reflect.DeepEqual(source.reach, sink.reach) {
		source.connection, sink.connection = source.connection+"-from", sink.connection+"-to"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# Check it: sluice validate FILE. Ask both ends why it would not move: sluice doctor -c FILE. Run it: sluice run -c FILE.\n"+
		"# ${NAME} is an environment variable, ${file:path} what a file holds.\nversion: 1\n")
	if text := source.connections(&sink); text != "" {
		out.WriteString("\nconnections: # brokers, named once\n" + text)
	}
	fmt.Fprintf(&out, "\nroutes:\n  %s:\n    source:\n%s    sink:\n%s", cfg.Bridge.Routes[0].Name, source.text(), sink.text())
	if len(p.AcceptLoss) > 0 {
		fmt.Fprintf(&out, "    accept_loss: [%s] # losses taken by name\n", strings.Join(p.AcceptLoss, ", "))
	}
	out.WriteString(startRoute(cfg.Bridge.Routes[0].Sink) + startRest)
	return out.String(), nil
}

// started is one end of the file to start from.
type started struct {
	plugin     connectors.Plugin
	connection string         // its name; empty: the connector has none
	reach, own map[string]any // what is of the connection, and what is the end's own
}

func startEnd(registry *connectors.Registry, text string, which connectors.End) (started, error) {
	u, err := parseURL(text)
	if err != nil {
		return started{}, err
	}
	plugin, _ := registry.Lookup(u.Scheme) // it was read before
	values, err := plugin.URL(u, which)
	if err != nil {
		return started{}, err
	}
	e := started{plugin: plugin, connection: plugin.Connection, reach: map[string]any{}, own: map[string]any{}}
	var known []string
	if plugin.NewConnection != nil {
		known = fieldsOf(reflect.TypeOf(plugin.NewConnection()).Elem()).names()
	}
	for key, value := range values {
		shown := fmt.Sprint(value)
		switch {
		case secretKey(key) || hideInURLs(shown) != shown:
			return started{}, errors.New("a secret in a URL would stand in the file: leave it out, and write it there as ${file:/run/secrets/...}")
		case slices.Contains(known, key):
			e.reach[key] = value
		default:
			e.own[key] = value
		}
	}
	return e, nil
}

// connections are the connections of two ends.
func (e *started) connections(other *started) string {
	text := e.connectionText()
	if other.connection != e.connection {
		text += other.connectionText()
	}
	return text
}

func (e *started) connectionText() string {
	if e.connection == "" || len(e.reach) == 0 {
		return ""
	}
	return fmt.Sprintf("  %s:\n    %s:\n%s      # tls: true # trusts this machine's authorities; also {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}\n",
		e.connection, e.plugin.Connection, pairs(e.reach, 6))
}

func (e *started) text() string {
	own := maps.Clone(e.own)
	if e.connection != "" && len(e.reach) > 0 {
		own["connection"] = e.connection
	}
	return fmt.Sprintf("      %s:\n%s", e.plugin.Name, pairs(own, 8))
}

// pairs writes keys and values in so many columns.
func pairs(values map[string]any, indent int) string {
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := tree(values[key], &yaml.Node{})
		value.Style = yaml.FlowStyle
		text, err := yaml.Marshal(value)
		if err != nil {
			continue // it is a string or a list of strings
		}
		fmt.Fprintf(&out, "%s%s: %s", strings.Repeat(" ", indent), key, text)
	}
	return out.String()
}

// startRoute are the keys of a route that people change most, as comments. Each is valid as it stands, or as its
// comment says.
func startRoute(sink *connectors.SinkSpec) string {
	templates := map[string]string{"subject": `"orders.{{ key }}"`, "key": `"{{ subject }}"`}
	var of []string
	for _, name := range sink.Maps {
		if templates[name] != "" { // of a topic the sink's own section tells
			of = append(of, name+": "+templates[name])
		}
	}
	text := ""
	if len(of) > 0 {
		text = "    # map: {" + strings.Join(of, ", ") + "} # where messages go\n"
	}
	return text + fmt.Sprintf("    # window: {max_messages: %d, max_bytes: %s, size: static} # fetched and not yet acknowledged; when it is full nothing more is fetched\n",
		bridge.DefaultMaxMessages, connectors.Size(bridge.DefaultMaxBytes)) +
		fmt.Sprintf("    # retry: {initial: %s, max: %s} # between attempts; there is no last one\n", connectors.Duration(bridge.DefaultRetryInitial), connectors.Duration(bridge.DefaultRetryMax)) +
		"    # limit: {messages: 5000/s, bytes: 20MiB/s} # how much it fetches a second\n" +
		"    # headers: default # none: no Sluice-Origin, so that sluice verify and position_lost know nothing\n" +
		"    # on_reject: halt # a message that the sink refuses for good; also drop, or dead_letter with dead_letter: {sink: {...}} beside it\n" +
		"    # on_gap: continue # source data that vanished before it was read; or halt\n"
}

const startRest = `
# admin: {listen: "127.0.0.1:4280"} # the live page, /metrics, /readyz; token: "${file:/run/secrets/admin}" lets others than this machine in
# log: {level: info, format: auto}
# shutdown: {drain: 25s} # below a container's grace period
# telemetry: {endpoint: "http://localhost:4317"} # OTLP: traces of stalls, metrics
`
