package deploy

import (
	"net"
	"slices"
	"testing"
)

const composeFile = "../../docker-compose.yml"

func TestCompose(t *testing.T) {
	project, err := Compose(t.Context(), composeFile)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"jaeger", "kafka", "load", "nats", "sluice", "stream"}
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	for name, service := range project.Services {
		if service.Build == nil && service.Image == "" {
			t.Errorf("%s has neither an image nor a build", name)
		}
		for _, port := range service.Ports {
			if ip := net.ParseIP(port.HostIP); ip == nil || !ip.IsLoopback() {
				t.Errorf("%s publishes %s on %q, want the loopback interface", name, port.Published, port.HostIP)
			}
		}
		for _, config := range service.Configs {
			if project.Configs[config.Source].Content == "" {
				t.Errorf("%s uses the config %s, which has no content", name, config.Source)
			}
		}
	}
}
