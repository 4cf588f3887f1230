// Package config reads the configuration of the daemon and refuses it as a whole, with every fault at
// once and the place of each, before anything connects.
//
// # The file
//
//	version: 1                                    # optional
//	include: [conf.d/*.yaml]                      # files beside this one that are read with it
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
//	defaults:                                     # for every route that does not say otherwise
//	  window: {max_messages: 4096}                # also limit, retry, headers, on_reject, dead_letter, stale, on_gap, max_hops
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
//	telemetry: {endpoint: "http://localhost:4317"} # and more: see type Telemetry
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
// stand in one of them. A file that -c names includes others by patterns, relative to itself, at most 256 in all; those
// include no more. Hidden files are read only where the pattern's name begins with a dot too. A route or a connection
// that stands in two of them is a finding that names both places.
//
// Of defaults, window, limit and retry are taken key by key, the rest as a whole: a route's own dead_letter has nothing
// of the defaults' in it.
//
// `--set path=value`, which may be given several times, goes over the files: --set routes.orders.window.max_messages=10.
// A value in [] or {} is YAML, any other stands for itself. What is wrong with it points at the flag.
//
// # Warnings
//
// What is no fault and hardly meant is a warning: a connection that no route uses, a password or a token that stands in
// the file, any certificate being taken. `sluice validate` shows them, and with --strict they fail.
//
// # Reload
//
// SIGHUP, `sluice reload` and, with `run --watch`, a change of a file have a running daemon read its files again, with
// placeholders and the files behind them. All or nothing: where anything is at fault the configuration that held goes
// on holding, and the findings are answered, logged, in /status and in the metric sluice.config.reload.success.
//
//	limit, paused of a route                          change while it runs
//	all else of a route, of a connection it uses,     it drains, commits, and begins anew at what was committed
//	of a value from a variable or a file in them
//	a route more, a route less                        it begins; it drains and ends, and its position stays upstream
//	nothing of a route                                it is not touched: it keeps its place in the group, or its durable
//	admin, log, shutdown, telemetry                   refused as a whole: that needs a restart
//
// A source of core NATS that begins anew misses what is published in between, as at a restart. What an operator wants
// of a route (sluice pause, sluice limit) outlasts a reload, unless just that is written otherwise than before. --watch
// looks at the files each second and reads them when they have not changed from one look to the next, also those of a
// configuration that it has refused; a file that is gone it tells of, and what stood in it goes on running, and no other
// change is read, until the file is back or a reload is asked for.
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
// relative to where the daemon was started. All else is read once, and again at a reload.
//
// A $ without a brace stands for itself, for passwords contain it.
package config
