// Package config reads the configuration of the daemon and refuses it as a whole, with every fault at
// once and the place of each, before anything connects.
//
// # The file
//
//	version: 1                                    # optional
//	connections:                                  # brokers, named once, shared by routes
//	  kafka-eu: {kafka: {brokers: ["localhost:9092"]}}
//	  nats-eu:  {nats: {servers: ["nats://localhost:4222"]}}
//	  secured:                                    # tls: true trusts this machine's authorities
//	    kafka:
//	      brokers: ["kafka-0:9093"]
//	      tls:  {ca_file: ca.pem, cert_file: client.pem, key_file: client.key, server_name: kafka} # each may be left out
//	      sasl: {mechanism: SCRAM-SHA-512, username: sluice, password: "${file:/run/secrets/kafka}"}
//	      # also PLAIN (short form: username, password), SCRAM-SHA-256, and OAUTHBEARER with endpoint, client_id,
//	      # client_secret, scope
//	  synadia: {nats: {servers: ["tls://nats-0:4222"], creds_file: /run/secrets/sluice.creds}}
//	  # of nats, one login: user and password, token, creds_file, nkey_file; tls as above; tls_first: true where the
//	  # server has handshake_first
//	routes:
//	  orders:
//	    source: {kafka: {connection: kafka-eu, topics: orders}}
//	    sink:   {jetstream: {connection: nats-eu, stream: ORDERS}}
//	    filter: headers["env"] == "prod"          # what does not pass is acknowledged, and not written; left out: all pass
//	    map:                                      # where messages go, and with which headers
//	      subject: "orders.{{ key }}"             # NATS; Kafka: topic, key, partition (a number)
//	      headers: {drop: ["x-*"], rename: {old: new}, set: {bridge: "{{ route }}"}} # in this order
//	    headers: default                          # default | none
//	    window: {max_messages: 8192, max_bytes: 64MiB, size: static} # adaptive: as many messages as keep the sink busy
//	    limit:  {messages: 5000/s, bytes: 20MiB/s} # how much it fetches a second; left out: any
//	    retry:  {initial: 100ms, max: 30s}
//	    on_reject: halt                           # halt | drop | dead_letter: a message that the sink refuses for good
//	    on_gap: continue                          # continue | halt: source data that vanished before it was read
//	    dead_letter: {sink: {jetstream: {connection: nats-eu, stream: DEAD}}, map: {subject: "dead.{{ topic }}"}}
//	    stale:  {older_than: 24h, do: drop}       # drop | dead_letter; left out: never
//	    max_hops: 8                               # bridges that a message may pass; more is a loop
//	    paused: false                             # true: it moves nothing until `sluice resume`
//	    accept_loss: []                           # losses taken by name, such as core_source
//	  short: {from: "kafka://localhost:9092/orders", to: "jetstream://localhost:4222/ORDERS"}
//	admin:    {listen: "127.0.0.1:4280", token: "${file:/run/secrets/admin}", tap: metadata} # listen: off; a browser gives the token as the password; tap: off | metadata | payload
//	log:      {level: info, format: auto}         # auto | console | json
//	shutdown: {drain: 25s}
//	telemetry: see type Telemetry
//
// filter, and what stands in {{ }} in a map, are expressions, of which package bridge/transform tells; they are
// compiled and type-checked here. One of YAML's own characters in them (: followed by a blank, # after one, a leading
// quote or brace) needs the whole in quotes. An expression that fails of a message, such as a header that it does not
// have, refuses the message: on_reject has it. The map of dead letters takes names only. Headers that begin with
// Sluice-, and traceparent, cannot be dropped, renamed or set.
//
// A section with one key, such as source, names its connector by that key. The keys of a connection
// are also accepted in the source's or sink's own section, where they win. `connection` may be left
// out where exactly one connection of the kind exists and the section holds none of its keys; the
// short form never uses a named connection. A dead letter's sink is written like a route's: sink or
// to, and map. Beside on_reject: halt it is where `sluice resume --skip` puts the message that blocked.
//
// Several files are read as one: connections and routes are put together, every other section may
// stand in one of them.
//
// # Placeholders
//
// In values, never in keys and never able to change the structure of the file:
//
//	${NAME}            the environment variable; a fault if it is not set
//	${NAME:-default}   the default if it is not set or empty
//	${NAME:?message}   a fault with this message if it is not set or empty
//	${file:path}       the content of a file without its last line break; relative to this file
//	$${                a literal ${
//
// A password that is ${file:path} and nothing else is read from the file each time a connection is made,
// so that it can be changed without a restart. So are the files of tls, creds_file and nkey_file, whose paths are
// relative to where the daemon was started. All else is read once.
//
// A $ without a brace stands for itself, for passwords contain it.
package config
