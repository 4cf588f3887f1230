// Package charttest renders the Helm chart, in a module of its own: what Helm brings along has no place in ours.
package charttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const dir = "../helm/sluice"

const least = `
config: {routes: {orders: {from: "kafka://kafka:9092/orders", to: "jetstream://nats:4222/ORDERS"}}}
`

const most = `
config:
  connections:
    kafka: {kafka: {brokers: ["kafka:9092"], sasl: {mechanism: SCRAM-SHA-512, username: sluice, password: "${file:/run/secrets/kafka-login/password}"}}}
  routes:
    orders:
      source: {kafka: {connection: kafka, topics: orders}}
      sink: {jetstream: {servers: ["nats:4222"], stream: ORDERS}}
  admin: {tap: payload, listen: "127.0.0.1:1"}
secrets: [kafka-login, nats]
adminToken: {secret: admin, key: t}
replicaCount: 3
env: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://otel:4317"}]
podAnnotations: {a: b}
podLabels: {team: orders}
imagePullSecrets: [{name: pull}]
nodeSelector: {x: y}
tolerations: [{key: k, operator: Exists}]
affinity: {podAntiAffinity: {}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
service: {enabled: true}
podMonitor: {enabled: true, labels: {release: prometheus}}
serviceMonitor: {enabled: true}
`

// render returns the objects that the chart makes of values, by kind.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := common.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(chart, parsed, common.ReleaseOptions{Name: "bridge", Namespace: "test"}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, err
	}
	objects := map[string]string{}
	for name, text := range files {
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			var object struct{ Kind string }
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			if object.Kind != "" {
				objects[object.Kind] = document
			}
		}
	}
	return objects, nil
}

// strictly decodes an object, in which nothing may stand that Kubernetes does not know.
func strictly[T any](t *testing.T, objects map[string]string, kind string) (o T) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(objects[kind]), &o); err != nil || objects[kind] == "" {
		t.Fatalf("%s: %v\n%s", kind, err, objects[kind])
	}
	return o
}

// TestChart: with the least and with the most that can be set, every object is one that Kubernetes knows, the container
// may do nothing that it need not, and the configuration is one that the daemon takes.
func TestChart(t *testing.T) {
	for name, values := range map[string]string{"least": least, "most": most} {
		t.Run(name, func(t *testing.T) {
			objects, err := render(t, values)
			if err != nil {
				t.Fatal(err)
			}
			deployment := strictly[appsv1.Deployment](t, objects, "Deployment")
			strictly[corev1.ServiceAccount](t, objects, "ServiceAccount")
			config := strictly[corev1.ConfigMap](t, objects, "ConfigMap").Data["sluice.yaml"]
			pod := deployment.Spec.Template.Spec
			c := pod.Containers[0]
			s := c.SecurityContext
			if !*pod.SecurityContext.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || s.Capabilities.Drop[0] != "ALL" || *pod.AutomountServiceAccountToken {
				t.Errorf("%+v\n%+v", pod.SecurityContext, s)
			}
			if c.LivenessProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.Ports[0].Name != c.ReadinessProbe.HTTPGet.Port.StrVal {
				t.Errorf("%+v %+v %+v", c.LivenessProbe, c.ReadinessProbe, c.Ports)
			}
			if *pod.TerminationGracePeriodSeconds < 25+5+5 {
				t.Errorf("%d s are too few for the drain and the end behind it", *pod.TerminationGracePeriodSeconds)
			}
			for _, v := range c.VolumeMounts {
				if !v.ReadOnly || !slices.ContainsFunc(pod.Volumes, func(have corev1.Volume) bool { return have.Name == v.Name }) {
					t.Errorf("%+v", v)
				}
			}
			for _, v := range pod.Volumes {
				if v.Secret != nil && *v.Secret.DefaultMode != 0o440 {
					t.Errorf("%s has mode %o: others could read it", v.Name, *v.Secret.DefaultMode)
				}
			}
			if !strings.Contains(config, `listen: :4280`) {
				t.Errorf("the probes do not reach it:\n%s", config)
			}
			validate(t, config)
			if name == "least" {
				return
			}
			strictly[corev1.Service](t, objects, "Service")
			for kind, list := range map[string]string{"PodMonitor": "podMetricsEndpoints", "ServiceMonitor": "endpoints"} {
				spec := strictly[map[string]any](t, objects, kind)["spec"].(map[string]any)
				endpoint := spec[list].([]any)[0].(map[string]any)
				if endpoint["port"] != "admin" || endpoint["path"] != "/metrics" {
					t.Errorf("%s: %+v", kind, endpoint)
				}
			}
			if len(c.Env) != 2 || c.Env[0].ValueFrom.SecretKeyRef.Key != "t" {
				t.Errorf("%+v", c.Env)
			}
		})
	}
}

// validate has the daemon of this repository read a configuration, with secrets where the chart mounts them.
func validate(t *testing.T, config string) {
	t.Helper()
	secrets := t.TempDir()
	for _, name := range []string{"kafka-login/password", "admin/t"} {
		if err := os.MkdirAll(filepath.Join(secrets, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(secrets, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "/run/secrets", secrets)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "go", "run", "-tags", "nodemo", "./cmd/sluice", "validate", file)
	c.Dir = "../../.."
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, config)
	}
}

// TestRefused: values that cannot be meant say so.
func TestRefused(t *testing.T) {
	for values, want := range map[string]string{
		"config: {}":          "name at least one route",
		least + "replicas: 3": "replicas",
		least + "serviceMonitor: {enabled: true}": "needs service.enabled",
		least + "image: {pullPolicy: Sometimes}":  "pullPolicy",
	} {
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", values, err, want)
		}
	}
}

// TestLint is `helm lint`.
func TestLint(t *testing.T) {
	values, err := common.ReadValues([]byte(least))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range lint.RunAll(dir, values, "test").Messages {
		if m.Severity > 1 { // an icon is recommended
			t.Error(m)
		}
	}
}
