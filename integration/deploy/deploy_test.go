package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUnit: systemd takes every line of the unit, and finds little that the daemon could do beyond its work. Where
// there is no systemd, that is not looked at.
func TestUnit(t *testing.T) {
	unit := read(t, "systemd/sluice.service")
	for _, want := range []string{"Type=notify-reload", "WatchdogSec=", "RestartPreventExitStatus=2", "DynamicUser=yes"} {
		if !strings.Contains(unit, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze")
	}
	about, err := exec.CommandContext(t.Context(), analyze, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`systemd (\d+)`).FindSubmatch(about)
	if version == nil {
		t.Fatalf("no version in %s", about)
	}
	if n, err := strconv.Atoi(string(version[1])); err != nil || n < 253 {
		unit = strings.Replace(unit, "Type=notify-reload", "Type=notify", 1)
	}
	path := filepath.Join(t.TempDir(), "sluice.service")
	// It looks whether the program is there.
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(unit, "/usr/bin/sluice", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", "--man=no", path}, {"security", "--offline=true", "--threshold=20", "--no-pager", path}} {
		out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
}

// TestDockerfile: the program that is copied is the one that is started and asked for its health, as nobody, from an
// image with nothing else in it.
func TestDockerfile(t *testing.T) {
	text := read(t, "../../Dockerfile")
	last := text[strings.LastIndex(text, "\nFROM ")+1:]
	if !strings.HasPrefix(last, "FROM gcr.io/distroless/static-") || !strings.Contains(last, "\nUSER 65532:65532\n") {
		t.Errorf("the image:\n%s", last)
	}
	program := regexp.MustCompile(`(?m)^COPY --from=build (\S+) (\S+)$`).FindStringSubmatch(last)
	if program == nil || !strings.Contains(text, " -o "+program[1]+" ./cmd/sluice\n") {
		t.Fatalf("what is built is not what is copied:\n%s", text)
	}
	exact := func(instruction string) (args []string) {
		t.Helper()
		found := regexp.MustCompile(`(?m)^` + instruction + `.*?(\[.*\])$`).FindStringSubmatch(last)
		if found == nil || json.Unmarshal([]byte(found[1]), &args) != nil {
			t.Fatalf("no %s in the form of a list", instruction)
		}
		return args
	}
	if entry := exact("ENTRYPOINT"); entry[0] != program[2] {
		t.Errorf("%v is not %s", entry, program[2])
	}
	if check := exact("HEALTHCHECK"); check[0] != program[2] || check[1] != "status" {
		t.Errorf("%v", check)
	}
	if run := exact("CMD"); run[0] != "run" {
		t.Errorf("%v", run)
	}
	ignored := "\n" + read(t, "../../.dockerignore")
	for _, needed := range []string{"cmd", "bridge", "connectors", "flowcontrol", "telemetry", "go.mod", "go.sum"} {
		if strings.Contains(ignored, "\n"+needed+"\n") {
			t.Errorf("%s is needed to build", needed)
		}
	}
}

// TestKeda: the queries name metrics and labels that there are, and count the lag of no source that its sink holds back.
func TestKeda(t *testing.T) {
	known := read(t, "../../telemetry/deploy/rules.yaml") + read(t, "../../telemetry/deploy/dashboard.json") // held to /metrics there
	files, err := filepath.Glob("keda/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := regexp.MustCompile(`(?:sluice|flowcontrol)_[a-z_]+`)
	for _, file := range files {
		var o struct {
			Kind string
			Spec struct {
				ScaleTargetRef struct{ Name string } `yaml:"scaleTargetRef"`
				Triggers       []struct {
					Type     string
					Metadata map[string]string
				}
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if o.Kind != "ScaledObject" || o.Spec.ScaleTargetRef.Name == "" || len(o.Spec.Triggers) == 0 {
			t.Errorf("%s: %+v", file, o)
		}
		for _, trigger := range o.Spec.Triggers {
			query := trigger.Metadata["query"]
			for _, name := range names.FindAllString(query, -1) {
				if !strings.Contains(known, name) {
					t.Errorf("%s: nothing is called %s", file, name)
				}
			}
			if !strings.Contains(query, `flowcontrol_state=~"flowing|starved"`) {
				t.Errorf("%s: %s", file, query)
			}
		}
	}
}
