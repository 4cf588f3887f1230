package convert

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// end is where a connector writes.
type end uint8

const (
	toNATS end = iota
	toKafka
)

// connector is an element of connect, which becomes a route.
type connector struct {
	*block
	of      *converter
	name    string // of the route
	towards end
	stream  bool // JetStream, not core NATS
	broken  bool // it cannot be kept

	subject, topic, durable, group word
	from                           word // the stream, where there is one
	source, sink, mapping          section
	cluster                        string // its connection to Kafka
	spread                         bool   // nats-kafka spreads messages whatever their key
}

// ours names a key of the route.
func (c *connector) ours(key string) string { return "routes." + c.name + "." + key }

// set adds a key to what stands below the connector's name in a source or a sink.
func (c *connector) set(at section, name string, value any) {
	inner, _ := at[0].value.(section)
	inner.put(name, value)
	at[0].value = inner
}

// note tells what no key of the file is to blame for.
func (c *connector) note(format string, args ...any) {
	c.of.notes = append(c.of.notes, &Key{Place: c.place, Name: c.path, Class: Changed, To: "routes." + c.name, Why: fmt.Sprintf(format, args...), owner: c})
}

// heedless are keys that nats-kafka does not look at in this kind of connector.
func (c *connector) heedless(why string, names ...string) {
	for _, name := range names {
		if k := c.keys[name]; k != nil {
			k.ignored("%s", why)
		}
	}
}

// connector reads one element of connect.
func (v *converter) connector(b *block) {
	c := &connector{block: b, of: v}
	b.each(func(k *Key) { k.owner = c })
	v.connectors = append(v.connectors, c)
	kind, k := c.text("type")
	if k != nil {
		c.place = k.Place
	}
	c.id(kind.text)
	c.topic, _ = c.text("topic")
	c.subject, _ = c.text("subject")
	c.durable, _ = c.text("durablename")
	switch kind.text {
	case "KafkaToNATS", "KafkaToJetStream":
		c.stream = kind.text == "KafkaToJetStream"
		c.fromKafka()
	case "NATSToKafka", "JetStreamToKafka":
		c.towards, c.stream = toKafka, kind.text == "JetStreamToKafka"
		c.toKafka()
	case "STANToKafka", "KafkaToStan":
		k.failed("NATS Streaming is at its end of life, and Sluice does not speak to it: move the channel to a stream of JetStream, and make this a %s",
			strings.NewReplacer("STAN", "JetStream", "Stan", "JetStream").Replace(kind.text))
		return
	default:
		if c.broken = true; k == nil {
			v.notes = append(v.notes, &Key{Place: c.place, Name: c.path, Class: Failed, Why: "it has no type, and nats-kafka does not start with this"})
		}
		k.failed("%q is no type of connector, and nats-kafka does not start with this", kind.text)
		return
	}
	k.mapped("routes." + c.name)
	c.heedless("nats-kafka looks at it in connectors of NATS Streaming only", "channel")
	c.schema()
}

var notName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// id names the route.
func (c *connector) id(kind string) {
	id, k := c.text("id")
	name := strings.Trim(notName.ReplaceAllString(id.text, "-"), "-_")
	if id.variable || name == "" {
		name = strings.Trim(notName.ReplaceAllString(kind+"-"+fmt.Sprint(len(c.of.connectors)), "-"), "-_")
	}
	name = name[:min(len(name), 50)] // a number may follow; 63 are allowed
	for n := 2; ; n++ {
		if c.name = name; n > 2 {
			c.name = fmt.Sprintf("%s-%d", name, n-1)
		}
		if !c.of.names[c.name] {
			break
		}
	}
	c.of.names[c.name] = true
	if c.name == id.text {
		k.mapped("routes." + c.name)
		return
	}
	k.changed("routes."+c.name, "a route's name is unique and has letters, digits, _ and - only")
}

// schema refuses what makes other bytes of a message.
func (c *connector) schema() {
	url, k := c.text("schemaregistryurl")
	subject, s := c.text("subjectname")
	if url.empty() || subject.empty() {
		c.heedless("nats-kafka uses a schema registry only where schemaregistryurl and subjectname are both set", "schemaregistryurl", "subjectname", "schemaversion", "schematype")
		return
	}
	for _, key := range []*Key{k, s, c.keys["schemaversion"], c.keys["schematype"]} {
		key.failed("Sluice passes on what a message holds byte for byte, and neither encodes nor decodes it by a schema")
	}
}

// fromKafka reads a connector that writes to NATS.
func (c *connector) fromKafka() {
	c.cluster = c.of.kafka(c)
	source := section{{"connection", c.cluster}}
	_, k := c.text("topic")
	k.mapped(c.ours("source.kafka.topics"))
	source.set("topics", c.topic)
	c.reader(&source)
	c.source = section{{"kafka", source}}

	sink, name := section{{"connection", natsName}}, "nats"
	if c.stream {
		name = "jetstream"
		c.from = c.streamName("sink.jetstream.stream")
		sink.set("stream", c.from)
	} else {
		c.heedless("nats-kafka does not look at it in a connector to NATS", "stream")
	}
	c.sink = section{{name, sink}}
	c.destination("subject", c.subject)
	c.heedless("nats-kafka looks at it in connectors to Kafka only", "balancer", "keytype", "keyvalue")
	c.heedless("nats-kafka looks at it in connectors that read from NATS only", "queuename", "durablename", "startatsequence", "startattime")
}

// reader tells where and how a topic is read.
func (c *connector) reader(source *section) {
	var k *Key
	c.group, k = c.text("groupid")
	k.mapped(c.ours("source.kafka.group"))
	source.set("group", c.group)
	n, p := c.number("partition")
	switch {
	case !c.group.empty():
		p.ignored("nats-kafka does not look at it beside groupid")
		if c.of.options.find != nil {
			break // the brokers are asked
		}
		c.note("Kafka 4 never took an offset from nats-kafka (KIP-896): if the group has none, this route begins at the first message of the topic. " +
			"Nothing is lost, and what nats-kafka has delivered comes again; --resume-from finds a later start")
	case n != 0:
		p.failed("one partition alone cannot be read; without groupid nats-kafka reads this one from its first message at each start")
	default:
		p.changed(c.ours("source.kafka"), "all partitions are read")
		c.note("without groupid nats-kafka reads partition 0 alone, from its first message at each start; the route reads all partitions, keeps its place in the group sluice-%s, and begins at the first message once", c.name)
	}
	if _, k := c.number("minbytes"); k != nil {
		k.obsolete("a broker answers as soon as it has something")
	}
	if n, k := c.number("maxbytes"); k != nil {
		const least, most = 16 << 10, 256 << 20
		source.set("fetch_max_bytes", fmt.Sprintf("%dB", min(max(n, least), most)))
		if n < least || n > most {
			k.changed(c.ours("source.kafka.fetch_max_bytes"), "it may be %d to %d", least, most)
		}
		k.mappedUnlessTold(c.ours("source.kafka.fetch_max_bytes"))
	}
}

// toKafka reads a connector that writes to Kafka.
func (c *connector) toKafka() {
	source, name := section{{"connection", natsName}}, "nats"
	if c.stream {
		name = "jetstream"
		c.from = c.streamName("source.jetstream.stream")
		source.set("stream", c.from)
		source.set("subjects", []word{c.subject})
		c.streamReader(&source)
	} else {
		source.set("subjects", []word{c.subject})
		queue, k := c.text("queuename")
		source.set("queue", queue)
		k.mapped(c.ours("source.nats.queue"))
		c.heedless("nats-kafka looks at it in connectors that read from JetStream only", "durablename", "startatsequence", "startattime", "stream")
		c.note("what is published while the daemon does not run, or while Kafka is away for longer than the buffer takes, is lost as before; accept_loss says that you know")
	}
	_, k := c.text("subject")
	k.mapped(c.ours("source." + name + ".subjects"))
	c.source = section{{name, source}}

	c.cluster = c.of.kafka(c)
	c.sink = section{{"kafka", section{{"connection", c.cluster}}}}
	c.destination("topic", c.topic)
	c.balancer()
	c.messageKey()
	c.heedless("nats-kafka looks at it in connectors from Kafka only", "groupid", "partition", "minbytes", "maxbytes")
}

// streamReader tells where reading a stream begins.
func (c *connector) streamReader(source *section) {
	_, k := c.text("durablename")
	k.changed(c.ours("source.jetstream.durable"), "the durable of nats-kafka is one that the server pushes to, which cannot be read otherwise: the route makes its own, sluice-%s. "+
		"--resume-from has it begin behind what that durable has acknowledged; run it before nats-kafka is stopped, for that deletes the durable", c.name)
	if queue, k := c.text("queuename"); !queue.empty() {
		k.changed(c.ours("source.jetstream"), "one daemon reads and the others stand by, which keeps the order; with shared: true they read side by side, as before")
	} else {
		k.same("none")
	}
	at, t := c.number("startattime")
	n, s := c.number("startatsequence")
	to := c.ours("source.jetstream.start")
	switch {
	case at != 0:
		source.set("start", time.Unix(at, 0).UTC().Format(time.RFC3339))
		t.mapped(to)
		s.ignored("startattime takes precedence")
		return
	case n == -1:
		source.set("start", "latest")
		s.changed(to, "nats-kafka begins with the message that is last at the time, the route behind it")
	case n > 0:
		source.set("start", fmt.Sprint(n))
		s.mapped(to)
	case n < -1:
		s.ignored("nats-kafka takes it for the beginning of the stream")
	default:
		s.same("a stream is read from its beginning")
	}
	t.same("no time")
}

// streamName is the name of the stream, which nats-kafka has the client look up by the subject.
func (c *connector) streamName(to string) word {
	name, k := c.text("stream")
	if !name.empty() {
		k.mapped(c.ours(to))
		return name
	}
	k.same("it is looked up")
	_, s := c.text("subject")
	if found, ok := c.of.options.Streams[c.subject.text]; ok {
		return word{found, false}
	}
	why := "nats-kafka has the server look up the stream of a subject each time"
	if find := c.of.options.find; find != nil && !c.subject.variable {
		found, err := find(c.pattern())
		if err == nil {
			return word{found, false}
		}
		why = err.Error()
	}
	s.failed("the route needs the name of the stream that has this subject (%s): add --stream '%s=NAME', or --resume-from nats://HOST:4222 to have it looked up now", why, c.subject.text)
	return word{}
}

var templatePlace = regexp.MustCompile(`\{\{[^}]*\}\}`)

// pattern is the subject that is read, or those that are written, with a wildcard for what a message fills in.
func (c *connector) pattern() string {
	text, _, _, err := destination(c.subject, toNATS)
	if err != nil || c.towards == toKafka {
		return c.subject.text
	}
	return templatePlace.ReplaceAllStringFunc(text.text, func(place string) string {
		if place == "{{ topic }}" {
			return c.topic.text
		}
		return "*"
	})
}

// destination sets the topic or subject that is written to.
func (c *connector) destination(key string, w word) {
	_, k := c.text(key)
	text, constant, dotted, err := destination(w, c.towards)
	if err != nil {
		k.failed("%s", err)
		return
	}
	if constant && c.towards == toKafka {
		c.set(c.sink, "topic", text)
		k.mapped(c.ours("sink.kafka.topic"))
		return
	}
	c.mapping.set(key, text)
	if dotted {
		k.changed(c.ours("map."+key), "nats-kafka copies a key into the subject as it is; here it becomes one token, and what is no letter, digit, - _ or = in it becomes %%XX")
	}
	k.mappedUnlessTold(c.ours("map." + key))
}

// balancer is how a partition is chosen.
func (c *connector) balancer() {
	kind, k := c.text("balancer")
	c.set(c.sink, "partitioner", "fnv1a")
	to := c.ours("sink.kafka.partitioner")
	switch kind.text {
	case "hash":
		k.mapped(to)
	case "leastbytes":
		c.spread = true
		k.changed(to, "messages of one key go to one partition; nothing balances partitions by their bytes")
	default:
		k.ignored("nats-kafka knows leastbytes and takes anything else for hash")
	}
}
