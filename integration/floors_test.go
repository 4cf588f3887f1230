package integration

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-bridge/sluice"

// floor is what a package of ours may import. A name that ends in "/..." covers what is below it.
type floor struct {
	pkg    string
	ours   []string // packages of this module
	others []string // packages of other modules; nil: any
}

// none is no package of another module.
func none() []string { return []string{} }

// floors are the rules, the first that names a package counts. The standard library is always
// allowed. What is not named here is a finding: a new package gets its floor when it is made.
func floors() []floor {
	otel, log := "go.opentelemetry.io/...", "github.com/rs/zerolog"
	trace := "go.opentelemetry.io/otel/trace/..."
	return []floor{
		{"flowcontrol", nil, none()},
		{"connectors", nil, []string{log, trace}},
		{"connectors/connectortest", []string{"connectors"}, []string{log, trace, "go.uber.org/goleak", "go.yaml.in/yaml/v4"}},
		{"connectors/lines", []string{"connectors"}, none()},
		{"connectors/kafka/...", []string{"connectors", "connectors/kafka/wire"}, []string{
			log, "go.opentelemetry.io/otel/...", "github.com/segmentio/kafka-go/...", "github.com/klauspost/compress/...", "github.com/pierrec/lz4/...",
			"github.com/twmb/franz-go/...", // in log*.go, positions.go and check*.go only, as the linter sees to
		}},
		{"connectors/nats/...", []string{"connectors"}, []string{log, "go.opentelemetry.io/otel/...", "github.com/nats-io/nats.go/...", "github.com/nats-io/nuid", "golang.org/x/sync/..."}},
		{"telemetry/...", []string{"flowcontrol", "telemetry/..."}, []string{
			log, otel, "github.com/go-logr/logr/...", "github.com/prometheus/...", "google.golang.org/...", "golang.org/x/sync/...", "golang.org/x/sys/...",
		}},
		{"bridge/transform", []string{"connectors"}, []string{"github.com/expr-lang/expr/...", "github.com/tidwall/gjson"}},
		{"bridge", []string{"bridge/transform", "connectors", "flowcontrol", "telemetry"}, []string{log, otel, "golang.org/x/sync/..."}},
		{"cmd/demo", []string{"..."}, nil},
		{"cmd/sluice", []string{"..."}, nil},
		{"cmd/...", []string{"bridge/...", "telemetry/...", "connectors", "flowcontrol", "cmd/..."}, nil},
		{"integration/...", []string{"..."}, nil},
	}
}

type listed struct {
	ImportPath  string
	Standard    bool
	Imports     []string
	TestImports []string
	Error       *struct{ Err string }
}

// list runs go list and decodes its JSON.
func list(t *testing.T, args ...string) (all []listed) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Standard,Imports,TestImports,Error"}, args...)...)
	c.Dir = ".."
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestFaultsAreInjectedFromOutside: what brings faults about, and what judges the answers, knows nothing of how
// telemetry comes to them.
func TestFaultsAreInjectedFromOutside(t *testing.T) {
	for _, p := range list(t, "-tags=integration", "./integration/acceptance", "./integration/proxy", "./integration/brokers", "./integration/daemon") {
		for _, i := range append(p.Imports, p.TestImports...) {
			if i == module+"/telemetry" || i == module+"/flowcontrol" {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

// TestFloors: a package imports from the floors below its own (DESIGN.md, section 3). Tests may import
// what they like.
func TestFloors(t *testing.T) {
	for _, p := range list(t, "./...") {
		if complaint := stands(p.ImportPath, p.Imports); complaint != "" {
			t.Error(complaint)
		}
	}
}

// stands returns what is wrong with a package's imports, or "".
func stands(path string, imports []string) string {
	pkg := strings.TrimPrefix(path, module+"/")
	i := slices.IndexFunc(floors(), func(f floor) bool { return covers(f.pkg, pkg) })
	if i < 0 {
		return path + " has no floor: name what it may import in floors_test.go"
	}
	f := floors()[i]
	for _, dep := range imports {
		ours, isOurs := strings.CutPrefix(dep, module+"/")
		within := func(rule string) bool { return covers(rule, dep) }
		switch {
		case isOurs && strings.HasPrefix(ours, "integration") && !strings.HasPrefix(pkg, "integration"):
			return path + " imports " + dep + ": nothing imports integration"
		case isOurs && !slices.ContainsFunc(f.ours, func(rule string) bool { return covers(rule, ours) }):
			return path + " imports " + dep + ", which is not below it"
		case !isOurs && strings.Contains(strings.Split(dep, "/")[0], ".") && f.others != nil && !slices.ContainsFunc(f.others, within):
			return path + " imports " + dep + ", which its floor does not allow"
		}
	}
	return ""
}

// covers reports whether a rule names a package: itself, or with "/..." all below it too.
func covers(rule, pkg string) bool {
	if rule == "..." {
		return true
	}
	below, ok := strings.CutSuffix(rule, "/...")
	return pkg == below || ok && strings.HasPrefix(pkg, below+"/")
}

// TestFloorsNotice: the rules refuse what they should.
func TestFloorsNotice(t *testing.T) {
	for pkg, dep := range map[string]string{
		"flowcontrol":      "github.com/rs/zerolog",
		"connectors":       module + "/flowcontrol",
		"connectors/lines": module + "/connectors/kafka",
		"connectors/kafka": module + "/bridge",
		"connectors/nats":  "github.com/segmentio/kafka-go",
		"telemetry":        module + "/bridge",
		"bridge":           module + "/connectors/nats",
		"cmd":              module + "/connectors/kafka",
		"cmd/sluice":       module + "/integration/truth",
		"util":             "fmt",
	} {
		if stands(module+"/"+pkg, []string{"context", dep}) == "" {
			t.Errorf("%s may import %s", pkg, dep)
		}
	}
	if complaint := stands(module+"/bridge", []string{"context", module + "/connectors", "golang.org/x/sync/errgroup"}); complaint != "" {
		t.Error(complaint)
	}
}
