package convert

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
)

// options are what the old file does not tell.
type options struct {
	Streams map[string]string                    // by subject, the stream that has it
	find    func(subject string) (string, error) // asks a server for it; nil: there is none to ask
}

// converter turns one file into a configuration.
type converter struct {
	options    options
	root       *block
	names      map[string]bool // of routes
	kafkas     []cluster
	nats       section
	admin, log section
	connectors []*connector
	notes      []*Key

	dialTimeout, retry time.Duration // 0: ours
}

// maxConnectors bounds what a file may make.
const maxConnectors = 1000

// convert reads a parsed file.
func convert(root *block, o options) (*converter, error) {
	v := &converter{options: o, root: root, names: map[string]bool{}}
	connect := root.blocks["connect"]
	if len(connect) == 0 {
		return nil, errors.New("the file has no connectors: nothing stands under connect")
	}
	if len(connect) > maxConnectors {
		return nil, fmt.Errorf("the file has %d connectors, at most %d are read", len(connect), maxConnectors)
	}
	v.top()
	v.natsConnection(root.one("nats"))
	for _, b := range connect {
		v.connector(b)
	}
	v.wayBack()
	root.each(func(k *Key) {
		if k.Class == "" {
			k.ignored("nats-kafka does not know this key, and says nothing of it")
		}
	})
	return v, nil
}

// top reads what is neither NATS nor a connector.
func (v *converter) top() {
	if n, k := v.root.number("connecttimeout"); k != nil {
		const to = "connections.kafka.dial_timeout"
		asked := time.Duration(n) * time.Millisecond
		v.dialTimeout = min(max(asked, 100*time.Millisecond), 5*time.Minute)
		switch {
		case asked == 5*time.Second:
			v.dialTimeout = 0
			k.same("dial_timeout is 5s")
		case asked != v.dialTimeout:
			k.changed(to, "it may be 100ms to 5m")
		default:
			k.mapped(to)
		}
	}
	if n, k := v.root.number("reconnectinterval"); k != nil {
		v.retry = max(time.Duration(n)*time.Millisecond, 100*time.Millisecond)
		k.changed("routes.*.retry.max", "it is the longest wait between two attempts, of which the first come sooner; and a route does go on by itself (a connector of nats-kafka does not, its issue 85)")
	}
	b := v.root.one("logging")
	debug, d := b.flag("debug")
	trace, t := b.flag("trace")
	d.same("log.level is info")
	t.same("log.level is info")
	switch {
	case trace:
		v.log.set("level", "trace")
		t.mapped("log.level")
	case debug:
		v.log.set("level", "debug")
		d.mapped("log.level")
	}
	v.fixed(b, "time", true, "lines have a time")
	v.fixed(b, "colors", true, "a terminal is shown colours, a file none (NO_COLOR is heeded)")
	v.fixed(b, "pid", false, "lines have no process id; /status has the name of the instance")
	v.monitoring(v.root.one("monitoring"))
	const pulled = "Sluice asks a stream for as much as it has room for, so nothing is pushed"
	b = v.root.one("jetstream")
	v.obsolete(b, pulled, "enableflowcontrol", "heartbeatinterval")
	v.obsolete(b, "an acknowledgement counts when the server has confirmed it, always", "enableacksync")
	v.obsolete(b, "the window bounds what is in flight (nats-kafka has one message in flight, whatever this says)", "publishasyncmaxpending")
	v.obsolete(b, "a write waits for its answer as long as the connection stands, and then finds out what became of it", "maxwait")
	v.obsolete(v.root.one("stan"), "NATS Streaming is at its end of life; no connector that is kept uses it", "clusterid", "clientid", "pubackwait", "discoverprefix", "maxpubacksinflight", "connectwait")
}

// fixed reads a flag of what Sluice does one way only.
func (v *converter) fixed(b *block, name string, ours bool, why string) {
	on, k := b.flag(name)
	if on == ours {
		k.same(why)
		return
	}
	k.obsolete(why)
}

// monitoring reads where probes are answered.
func (v *converter) monitoring(b *block) {
	host, h := b.text("httphost")
	port, p := b.number("httpport")
	secure, s := b.number("httpsport")
	v.obsolete(b, "a probe has a few seconds", "readtimeout", "writetimeout")
	for _, name := range []string{"root", "cert", "key"} {
		if k := b.one("tls").keys[name]; k != nil {
			k.ignored("it is for httpsport only")
		}
	}
	if secure != 0 {
		s.failed("Sluice's listener speaks no TLS, so none is configured but the default, 127.0.0.1:4280; put a proxy with TLS before it")
		h.failed("see httpsport")
		return
	}
	s.same("no TLS")
	if port == 0 {
		p.changed("admin.listen", "nats-kafka has no monitoring without a port; Sluice listens at 127.0.0.1:4280, unless admin.listen is off")
		h.ignored("nats-kafka looks at it beside a port only")
		return
	}
	if host.variable {
		h.failed("it stands in the environment variable %s: write the address here and convert again", host.text)
		p.ignored("see httphost")
		return
	}
	v.admin.set("listen", net.JoinHostPort(host.text, strconv.FormatInt(max(port, 0), 10)))
	h.mapped("admin.listen")
	p.changed("admin.listen", "/varz and /healthz are not there: /metrics, /status, /livez and /readyz are. Off this machine /status asks for admin.token")
}

// configuration puts together what is kept.
func (v *converter) configuration() section {
	connections, routes := section{}, section{}
	for _, k := range v.kafkas {
		if slices.ContainsFunc(v.connectors, func(c *connector) bool { return !c.broken && c.cluster == k.name }) {
			connections.set(k.name, section{{"kafka", k.section}})
		}
	}
	connections.set(natsName, section{{"nats", v.nats}})
	for _, c := range v.connectors {
		if !c.broken {
			routes.set(c.name, c.route(v.retry))
		}
	}
	all := section{{"connections", connections}, {"routes", routes}}
	if len(v.admin) > 0 {
		all.set("admin", v.admin)
	}
	if len(v.log) > 0 {
		all.set("log", v.log)
	}
	return all
}

// route is what a connector becomes.
func (c *connector) route(retry time.Duration) section {
	r := section{{"source", c.source}, {"sink", c.sink}}
	if len(c.mapping) > 0 {
		r.set("map", c.mapping)
	}
	if retry != 0 {
		r.set("retry", section{{"max", retry.String()}})
	}
	if c.towards == toKafka && !c.stream {
		r.set("accept_loss", []word{{"core_source", false}})
	}
	return r
}

// check has the validator of a daemon read every route that is kept, and leaves out those that it refuses.
func (v *converter) check(registry *connectors.Registry) {
	refused := func() error {
		text, err := v.configuration().yaml(samples())
		if err != nil {
			return err
		}
		_, err = config.Text(registry, "what becomes of it", string(text))
		return err
	}
	if v.kept() == 0 || refused() == nil {
		return
	}
	all := v.connectors
	v.connectors = nil
	for _, c := range all {
		v.connectors = append(v.connectors, c)
		if c.broken {
			continue
		}
		if err := refused(); err != nil {
			c.broken = true
			v.notes = append(v.notes, &Key{Place: c.place, Name: c.path, Class: Failed, Why: "the route that it becomes is refused: " + reasons(err), owner: c})
		}
	}
}

// reasons are all findings of a configuration that nobody sees, so without their places.
func reasons(err error) string {
	var findings config.Findings
	if !errors.As(err, &findings) {
		return err.Error()
	}
	texts := make([]string, len(findings))
	for i := range findings {
		texts[i] = findings[i].Text
	}
	return strings.Join(texts, "; ")
}

// kept is how many connectors become routes.
func (v *converter) kept() (n int) {
	for _, c := range v.connectors {
		if !c.broken {
			n++
		}
	}
	return n
}

// wayBack tells of two routes that lead back and forth, between which nats-kafka passes messages on and Sluice does
// not.
func (v *converter) wayBack() {
	for _, there := range v.connectors {
		for _, back := range v.connectors {
			if there.towards == toNATS && there.stream && back.towards == toKafka && back.stream &&
				there.topic == back.topic && there.from == back.from && !there.broken && !back.broken {
				there.note("%s and %s lead back and forth between one topic and one stream: what has come by the one is not sent back by the other. "+
					"nats-kafka sends it back; to have that, write headers: none into both, and see to it that nothing goes in circles", there.name, back.name)
			}
		}
	}
}
