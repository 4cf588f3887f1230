package convert

import (
	"regexp"
	"strings"
)

// messageKey tells what key messages have in Kafka. Where a stream is read, nats-kafka takes the subject and the
// durable name that are configured for those of the message.
func (c *connector) messageKey() {
	kind, k := c.text("keytype")
	value, v := c.text("keyvalue")
	if kind.variable {
		k.failed("it stands in the environment variable %s: write it here and convert again", kind.text)
		return
	}
	uses := map[string]bool{"fixed": true, "subjectre": true, "replyre": true}[kind.text]
	if !uses {
		v.ignored("nats-kafka looks at it for the key types fixed, subjectre and replyre only")
	} else {
		v.mapped(c.ours("map.key"))
	}
	to := c.ours("map.key")
	switch kind.text {
	case "fixed":
		k.mapped(to)
		c.setKey(k, value)
	case "subject":
		c.subjectKey(k)
	case "subjectre":
		c.expression(k, v, c.subject, value, "subject")
	case "reply":
		if !c.stream {
			k.failed("a message's reply subject cannot be made its key")
			return
		}
		k.changed(to, "nats-kafka takes the name of the durable for the reply subject of messages from a stream; so it is the key of all, and all are in one partition")
		c.setKey(k, c.durable)
	case "replyre":
		c.expression(k, v, c.durable, value, "reply subject")
	default:
		k.ignored("nats-kafka knows the key types fixed, subject, reply, subjectre and replyre, and takes any other for none")
		if c.spread {
			c.note("it names no key: each message has its subject for its key now, so that messages are spread over the partitions")
			return
		}
		c.setKey(k, word{})
		c.note("it names no key: every message has the empty key and is in one partition, as before. Without map.key in the route the subject is the key, and messages are spread")
	}
}

// subjectKey is the subject of the message; of a stream's messages nats-kafka takes the configured one.
func (c *connector) subjectKey(k *Key) {
	c.mapping.set("key", word{"{{ subject }}", false})
	if c.stream && strings.ContainsAny(c.subject.text, "*>") {
		k.changed(c.ours("map.key"), "nats-kafka gives every message the pattern %q for its key (its issue 108), so that all are in one partition; "+
			"Sluice gives each its own subject, as was meant: keys and partitions differ from before", c.subject.text)
		return
	}
	k.mapped(c.ours("map.key"))
}

// expression applies a regular expression to what is the same for all messages. Where it is not, a template cannot.
func (c *connector) expression(k, v *Key, of, pattern word, what string) {
	if !c.stream && (what == "reply subject" || strings.ContainsAny(of.text, "*>") || of.variable) {
		k.failed("a regular expression on the %s of each message cannot be written as a template; map.key knows {{ subject }}", what)
		return
	}
	if of.variable || pattern.variable {
		k.failed("what it is applied to stands in an environment variable: write it here and convert again")
		return
	}
	compiled, err := regexp.Compile(pattern.text)
	if err != nil {
		v.ignored("it is no regular expression (%s), so nats-kafka gives every message the empty key", err)
		c.setKey(k, word{})
		k.mapped(c.ours("map.key"))
		return
	}
	var key word
	if found := compiled.FindStringSubmatch(of.text); len(found) > 1 {
		key.text = found[1]
	}
	if c.setKey(k, key); !c.stream {
		k.mapped(c.ours("map.key"))
		return
	}
	k.changed(c.ours("map.key"), "nats-kafka applies it to the configured %s, not to the message's: every message has the key %q", what, key.text)
}

// setKey sets a key that all messages have.
func (c *connector) setKey(k *Key, w word) {
	t, err := fixed(w)
	if err != nil {
		k.failed("%s", err)
		return
	}
	c.mapping.set("key", t)
}
