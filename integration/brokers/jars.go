package brokers

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KafkaVersion is the Apache Kafka that is started unless SLUICE_KAFKA_VERSION names another.
const KafkaVersion = "4.4.0"

//go:embed pom.xml
var pom []byte

// ErrMissing says that the machine lacks what a broker needs.
var ErrMissing = errors.New("missing")

// kafkaJars returns the directory that holds the jars of a Kafka version, resolving them with Maven
// the first time.
func kafkaJars(ctx context.Context, version string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	libs := filepath.Join(cache, "sluice-integration", "kafka-"+version)
	if broker, _ := filepath.Glob(filepath.Join(libs, "kafka_2.13-*.jar")); len(broker) > 0 {
		return libs, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("%w: mvn, to resolve the jars of Apache Kafka %s", ErrMissing, version)
	}
	if err := os.MkdirAll(filepath.Dir(libs), 0o755); err != nil {
		return "", err
	}
	// Resolved beside its place and renamed whole: a run that is interrupted leaves no half directory.
	work, err := os.MkdirTemp(filepath.Dir(libs), "resolving-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-Dkafka.version="+version,
		"-DoutputDirectory="+filepath.Join(work, "libs"), "dependency:copy-dependencies")
	cmd.Dir = work
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn: resolve Apache Kafka %s: %w\n%s", version, err, strings.TrimSpace(string(text)))
	}
	if err := os.Rename(filepath.Join(work, "libs"), libs); err != nil && !errors.Is(err, os.ErrExist) {
		if broker, _ := filepath.Glob(filepath.Join(libs, "kafka_2.13-*.jar")); len(broker) == 0 {
			return "", err
		}
	}
	return libs, nil
}
