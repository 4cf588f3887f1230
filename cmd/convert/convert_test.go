package convert

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/cmd/config"
	"github.com/sluice-bridge/sluice/connectors"
	"github.com/sluice-bridge/sluice/connectors/kafka"
	"github.com/sluice-bridge/sluice/connectors/nats"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func registry(t *testing.T) *connectors.Registry {
	t.Helper()
	r, err := connectors.NewRegistry(kafka.Plugin(), nats.JetStream(), nats.Core())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run is the command with its arguments: what it wrote, and its exit code.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, report bytes.Buffer
	c := Command(registry(t))
	c.SetArgs(append([]string{"-f", "nats-kafka"}, args...))
	c.SetOut(&out)
	c.SetErr(&report)
	c.SilenceUsage, c.SilenceErrors = true, true
	err := c.ExecuteContext(t.Context())
	var exit *cmd.ExitError
	if errors.As(err, &exit) {
		code = exit.Code
	} else if err != nil {
		code = -1
	}
	if err != nil {
		report.WriteString(err.Error() + "\n")
	}
	return out.String(), report.String(), code
}

// inLine is a file with one line, for what is wrong with one key.
func inLine(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "old.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func streams() []string {
	return []string{"--stream", "baz=BAZ", "--stream", "bang=BANG", "--stream", "foo_subject.*=FOO"}
}

// TestSamples: what becomes of the files that nats-kafka comes with, and of every key it knows. What is written is
// read by the validator of a daemon without a finding.
func TestSamples(t *testing.T) {
	for _, name := range []string{"nats-kafka", "jetstream-kafka", "stan-kafka", "every"} {
		t.Run(name, func(t *testing.T) {
			old := filepath.Join("testdata", name+".conf")
			out, report, code := run(t, append(streams(), "--bypass-errors", old)...)
			golden(t, name+".golden", "exit code "+string(rune('0'+code))+"\n---\n"+out+"---\n"+report)
			if code != 0 {
				return
			}
			into := filepath.Join(t.TempDir(), "sluice.yaml")
			if _, report, code := run(t, append(streams(), old, "-o", into)...); code != 0 {
				t.Fatalf("%d: %s", code, report)
			}
			env := func(string) (string, bool) { return "from the environment", true }
			if _, err := config.Files(registry(t), env, into); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestMostKeysAreKept: of the sample files for brokers that are still there, nine keys in ten are; the others are
// told of with file and line, as are all of the file for NATS Streaming.
func TestMostKeysAreKept(t *testing.T) {
	kept, all := 0, 0
	for _, name := range []string{"nats-kafka", "jetstream-kafka", "stan-kafka"} {
		root, err := read(filepath.Join("testdata", name+".conf"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := convert(root, options{Streams: map[string]string{"baz": "BAZ", "bang": "BANG", "foo_subject.*": "FOO"}})
		if err != nil {
			t.Fatal(err)
		}
		v.check(registry(t))
		r := v.report(name)
		n := r.Count(Mapped, Default, Changed)
		t.Logf("%s: %d of %d keys are kept, %d of them do something else", name, n, len(r.Keys), r.Count(Changed))
		if name != "stan-kafka" {
			kept, all = kept+n, all+len(r.Keys)
		}
		for _, k := range r.Keys {
			if _, line, ok := strings.Cut(k.Place, ".conf:"); k.Class == "" || !ok || line == "" || k.Class != Mapped && k.Why == "" {
				t.Errorf("%s: nobody told what became of %+v", name, *k)
			}
		}
	}
	if kept*10 < all*9 {
		t.Errorf("%d of %d keys are kept", kept, all)
	}
}

const oneConnector = `nats { servers: ["n:4222"] }
connect [ { type: "%TYPE", brokers: ["b:9092"], topic: "t", subject: "s", stream: "S", groupid: "g"
%KEYS
} ]`

// TestKeys: what single keys become: part of the configuration, or what the report says of them.
func TestKeys(t *testing.T) {
	for name, c := range map[string]struct{ kind, keys, want string }{
		"a fixed key":                       {"NATSToKafka", `keytype: fixed, keyvalue: "k"`, "map: {key: k}"},
		"an empty fixed key":                {"NATSToKafka", `keytype: fixed`, "map: {key: '{{ key }}'}"},
		"a key like a template":             {"NATSToKafka", `keytype: fixed, keyvalue: "{{x}}"`, "a key that holds {{ cannot be written"},
		"the subject":                       {"NATSToKafka", `keytype: subject`, "map: {key: '{{ subject }}'}"},
		"a part of a subject":               {"NATSToKafka", `keytype: subjectre, keyvalue: "(.)", subject: "s.*"`, "cannot be written as a template"},
		"a part of the one subject":         {"NATSToKafka", `keytype: subjectre, keyvalue: "^.(.*)$", subject: "subject"`, "map: {key: ubject}"},
		"the reply":                         {"NATSToKafka", `keytype: reply`, "reply subject cannot be made its key"},
		"a part of the reply":               {"NATSToKafka", `keytype: replyre, keyvalue: "(.)"`, "cannot be written as a template"},
		"a stream's reply":                  {"JetStreamToKafka", `keytype: reply, durablename: "dur"`, "map: {key: dur}"},
		"a part of a stream's reply":        {"JetStreamToKafka", `keytype: replyre, durablename: "dur", keyvalue: "d(.)"`, "map: {key: u}"},
		"no part of it":                     {"JetStreamToKafka", `keytype: replyre, durablename: "dur", keyvalue: "x(.)"`, "map: {key: '{{ key }}'}"},
		"a bad expression":                  {"JetStreamToKafka", `keytype: subjectre, keyvalue: "("`, "it is no regular expression"},
		"a key from a variable":             {"NATSToKafka", `keytype: fixed, keyvalue: $KEY_X`, "map: {key: '${KEY_X}'}"},
		"another partitioner":               {"NATSToKafka", `balancer: leastbytes`, "nothing balances partitions by their bytes"},
		"a topic by subject":                {"NATSToKafka", `topic: "x.{{ .Subject }}"`, "topic: 'x.{{ subject }}'"},
		"a topic by function":               {"NATSToKafka", `topic: "{{ .Subject | replace \"a\" \"b\" }}"`, "replace(subject, "},
		"a topic by a function's arguments": {"NATSToKafka", `topic: "{{ replace \"a\" \"b\" .Subject }}"`, "replace(subject, "},
		"a part of the subject":             {"NATSToKafka", `topic: "{{ .Subject | substring 0 5 }}"`, "has no counterpart"},
		"a topic by header":                 {"NATSToKafka", `topic: "{{ .Header.Get \"region\" }}"`, "headers["},
		"a header that is not of NATS":      {"KafkaToNATS", `subject: "{{ .Header.Get \"region\" }}"`, "has no counterpart"},
		"a broken template":                 {"NATSToKafka", `topic: "{{ .Subject"`, "nats-kafka does not start with this template"},
		"a template that branches":          {"NATSToKafka", `topic: "{{ if .Subject }}a{{ end }}"`, "have places and nothing else"},
		"a subject by topic":                {"KafkaToNATS", `subject: "x.{{.Topic}}.{{ .Partition }}"`, "subject: 'x.{{ topic }}.{{ partition }}'"},
		"a key as numbers":                  {"KafkaToNATS", `subject: "x.{{.Key}}"`, "shows the bytes of the key as numbers"},
		"a literal placeholder":             {"KafkaToNATS", `subject: "x.${HOME}"`, "subject: 'x.$${HOME}'"},
		"a partition":                       {"KafkaToNATS", `groupid: "", partition: 3`, "one partition alone cannot be read"},
		"no group":                          {"KafkaToNATS", `groupid: ""`, "reads partition 0 alone"},
		"small answers":                     {"KafkaToNATS", `maxbytes: 100`, "fetch_max_bytes: 16384B"},
		"a schema":                          {"KafkaToNATS", `schemaregistryurl: "http://r", subjectname: "v"`, "byte for byte"},
		"AWS":                               {"KafkaToNATS", `iam { enable: true, region: "x" }`, "no login by AWS IAM"},
		"an authority alone":                {"KafkaToNATS", `tls { root: "ca.pem" }`, "speaks no TLS with Kafka unless"},
		"any certificate":                   {"KafkaToNATS", `sasl { user: u, password: $PW_X, insecureskipverify: true }`, "tls: {insecure_skip_verify: true}"},
		"a login without a user":            {"KafkaToNATS", `sasl { password: "geheim" }`, "logs in only where sasl.user is set"},
		"a sequence":                        {"JetStreamToKafka", `startatsequence: 41`, "start: '41'"},
		"a time":                            {"JetStreamToKafka", `startattime: 1700000000, startatsequence: 3`, "2023-11-14T22:13:20Z"},
		"a number that is none":             {"JetStreamToKafka", `startatsequence: "x"`, "takes a whole number only"},
		"a number from a variable":          {"JetStreamToKafka", `startatsequence: $N_X`, "stands in the environment variable N_X"},
		"a name that is none":               {"JetStreamToKafka", `id: "a b/ü"`, "  a-b:"},
		"a typo":                            {"JetStreamToKafka", `durable: "x"`, "does not know this key"},
		"a subject that is none":            {"JetStreamToKafka", `subject: "a..b"`, "is refused: "},
		"a kind that is none":               {"NATSToNATS", ``, "is no type of connector"},
		"a topic that is a number":          {"NATSToKafka", `topic: 5`, "takes a string only"},
		"the same key in other cases":       {"NATSToKafka", `Topic: "u"`, "stands there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.NewReplacer("%TYPE", c.kind, "%KEYS", c.keys).Replace(oneConnector)
			for _, key := range []string{"topic", "subject", "groupid"} {
				if strings.HasPrefix(c.keys, key+":") || strings.Contains(c.keys, ", "+key+":") {
					first := map[string]string{"topic": `topic: "t", `, "subject": `subject: "s", `, "groupid": `groupid: "g"`}[key]
					text = strings.Replace(text, first, "", 1)
				}
			}
			out, report, _ := run(t, inLine(t, text), "--bypass-errors")
			if !strings.Contains(out+report, c.want) {
				t.Errorf("want %q in\n%s%s", c.want, out, report)
			}
			if strings.Contains(out+report, "geheim") {
				t.Error("a secret is shown")
			}
		})
	}
}

// TestTop: what is not of a connector.
func TestTop(t *testing.T) {
	for text, want := range map[string]string{
		`monitoring { httphost: $HOST_X, httpport: 1 }`:          "stands in the environment variable HOST_X",
		`monitoring { httpport: -1 }`:                            "listen: :0",
		`monitoring { httpsport: 9 }`:                            "speaks no TLS",
		`connecttimeout: 10`:                                     "dial_timeout: 100ms",
		`logging { trace: true }`:                                "level: trace",
		`nats { servers: ["nats://a:1,nats://b:2"] }`:            "servers: ['nats://a:1', 'nats://b:2']",
		`nats { servers: $NATS_X }`:                              "servers: ['${NATS_X}']",
		`nats { servers: ["nats://t0ken@a:1"] }`:                 "token: '${file:nats.token}'",
		`nats { servers: ["nats://a:x@a:1", "nats://b:y@b:1"] }`: "different logins",
		`nats { servers: ["ws://a:1"] }`:                         "does not speak to NATS by ws://",
		`nats { servers: ["nats://a:geh%eim@a:1"] }`:             "is refused",
		``: "servers: ['127.0.0.1:4222']",
	} {
		out, report, _ := run(t, inLine(t, text+"\n"+`connect { type: KafkaToNATS, brokers: "b:1", topic: t, subject: s, groupid: g }`), "--bypass-errors")
		if !strings.Contains(out+report, want) {
			t.Errorf("%s: want %q in\n%s%s", text, want, out, report)
		}
		for _, secret := range []string{"t0ken", "geh%eim"} {
			if strings.Contains(out+report, secret) {
				t.Errorf("%s is shown:\n%s%s", secret, out, report)
			}
		}
	}
}

// TestErrorsWriteNothing: an error is a result, and nothing is written with one but the report.
func TestErrorsWriteNothing(t *testing.T) {
	dir := t.TempDir()
	into, told := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "report.txt")
	out, errors, code := run(t, "testdata/jetstream-kafka.conf", "-o", into, "--report", told)
	if code != 2 || out != "" || !strings.Contains(errors, "3 errors; nothing was written") {
		t.Errorf("%d %s%s", code, out, errors)
	}
	if _, err := os.Stat(into); err == nil {
		t.Error("a configuration was written")
	}
	text, err := os.ReadFile(told)
	if err != nil || !strings.Contains(string(text), "jetstream-kafka.conf:14  connect[0].subject: the route needs the name of the stream") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestSecrets: a password goes into a file for its owner alone, and nothing that is there is replaced unasked.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	into := filepath.Join(dir, "sluice.yaml")
	t.Setenv("CONVERT_PASSWORD", "from-the-environment")
	_, report, code := run(t, "testdata/every.conf", "-o", into)
	if code != 0 {
		t.Fatalf("%d: %s", code, report)
	}
	if os.Getenv("CONVERT_PASSWORD") != "from-the-environment" {
		t.Error("the environment was changed")
	}
	for file, want := range map[string]string{"nats.password": "s3cret\n", "kafka-2.password": "plain text\n"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", file, text, err)
		}
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	text, err := os.ReadFile(into)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"s3cret", "plain text", "from-the-environment"} {
		if strings.Contains(string(text)+report, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	if _, report, code := run(t, "testdata/every.conf", "-o", into); code != 1 || !strings.Contains(report, "is there already") {
		t.Errorf("%d: %s", code, report)
	}
	if err := os.Chmod(filepath.Join(dir, "nats.password"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, report, code := run(t, "testdata/every.conf", "-o", into, "--force"); code != 0 {
		t.Errorf("%d: %s", code, report)
	}
	if info, err := os.Stat(filepath.Join(dir, "nats.password")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read it", info, err)
	}
	before, err := os.ReadFile("testdata/every.conf")
	if err != nil {
		t.Fatal(err)
	}
	if _, report, code := run(t, "testdata/every.conf", "--report", "testdata/../testdata/every.conf"); code != 1 || !strings.Contains(report, "is the file of a configuration") {
		t.Errorf("%d: %s", code, report)
	}
	if after, err := os.ReadFile("testdata/every.conf"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the old file was overwritten: %v", err)
	}
}

// TestUnbounded: what would never end is refused.
func TestUnbounded(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("b.conf", `include "a.conf"`)
	for _, text := range []string{"}", "a: [ }", "a { ] }", "= 1", "a: $A\nA: $A", "\"", "include", "connect [ { } ] }"} {
		if _, report, code := run(t, write("odd.conf", text)); code != 2 || report == "" {
			t.Errorf("%q: %d %s", text, code, report)
		}
	}
	for path, want := range map[string]string{
		write("a.conf", `include "b.conf"`):                                                    "includes itself",
		write("large.conf", strings.Repeat("# much\n", maxFile/7+1)):                           "more than 1048576 bytes",
		write("deep.conf", strings.Repeat("a { ", 50)+strings.Repeat("}", 50)):                 "blocks within each other",
		write("many.conf", "connect [ "+strings.Repeat("{ type: x }\n", maxConnectors+1)+" ]"): "at most 1000 are read",
		write("none.conf", "nats { servers: x }"):                                              "no connectors",
		filepath.Join(dir, "absent.conf"):                                                      "no such file",
		write("lists.conf", "connect: "+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)):   "no connectors",
	} {
		if _, report, code := run(t, path); code != 2 || !strings.Contains(report, want) {
			t.Errorf("%s: %d %s, want %q", path, code, report, want)
		}
	}
}

// TestWayBack: what Sluice does not do between two routes that lead back and forth is told.
func TestWayBack(t *testing.T) {
	_, report, _ := run(t, "testdata/jetstream-kafka.conf", "--stream", "baz=ONE", "--stream", "bang=ONE", "--stream", "foo_subject.*=ONE")
	if n := strings.Count(report, "lead back and forth"); n != 1 {
		t.Errorf("%d times:\n%s", n, report)
	}
}

// FuzzConvert: whatever stands in a file, it ends, and what is written is what a daemon reads.
func FuzzConvert(f *testing.F) {
	for _, name := range []string{"nats-kafka", "jetstream-kafka", "stan-kafka", "every"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".conf"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	r, err := connectors.NewRegistry(kafka.Plugin(), nats.JetStream(), nats.Core())
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 || strings.Contains(strings.ToLower(text), "include") {
			return // what is included is another file of this machine
		}
		path := filepath.Join(dir, "old.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := read(path)
		if err != nil {
			return
		}
		v, err := convert(root, options{})
		if err != nil {
			return
		}
		v.check(r)
		report := v.report(path)
		if slices.ContainsFunc(report.Keys, func(k *Key) bool { return k.Class == "" }) {
			t.Error("nobody told what became of a key")
		}
		if report.Kept == 0 {
			return
		}
		text2, err := v.configuration().yaml(samples())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Text(r, "fuzz", string(text2)); err != nil {
			t.Errorf("%v\n%s", err, text2)
		}
	})
}
