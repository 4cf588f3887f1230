package nats

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

// serverEnv makes this test binary a NATS server: a process of its own can be frozen and killed.
const serverEnv = "SLUICE_TEST_NATS_SERVER"

// plainEnv has sinks and sources of streams go through nats.go alone, so that all their tests are tests of the
// plain link too.
const plainEnv = "SLUICE_TEST_PLAIN"

func TestMain(m *testing.M) {
	if text := os.Getenv(serverEnv); text != "" {
		serve(text)
		return
	}
	goleak.VerifyTestMain(m)
}

// serverProcess is what the process is told.
type serverProcess struct {
	Port         int
	Dir          string
	BatchTimeout time.Duration // of fast-ingest batches; 0: the server's 10 s
	// Its certificate; empty: it does not speak TLS. Who comes without TLS is let in too.
	CertFile, KeyFile string
}

func serve(text string) {
	var p serverProcess
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		panic(err)
	}
	o := &server.Options{Host: "127.0.0.1", Port: p.Port, JetStream: true, StoreDir: p.Dir, NoLog: true, NoSigs: true}
	o.JetStreamLimits.MaxBatchTimeout = p.BatchTimeout
	if p.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
		if err != nil {
			panic(err)
		}
		o.TLSConfig, o.AllowNonTLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, true
	}
	s, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	s.Start()
	// The pipe closes when the test ends, however it ends.
	_, _ = os.Stdin.Read(make([]byte, 1))
	s.Shutdown()
}

// process is a NATS server in a process of its own.
type process struct {
	t    testing.TB
	what serverProcess
	cmd  *exec.Cmd
}

func startProcess(t testing.TB, batchTimeout time.Duration) *process {
	t.Helper()
	return startProcessAs(t, serverProcess{BatchTimeout: batchTimeout})
}

func startProcessAs(t testing.TB, what serverProcess) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	what.Port, what.Dir = l.Addr().(*net.TCPAddr).Port, t.TempDir()
	p := &process{t: t, what: what}
	l.Close()
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *process) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.what.Port) }

// start runs the server, or a real nats-server where the environment names its binary.
func (p *process) start() {
	p.t.Helper()
	text, err := json.Marshal(p.what)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	if bin := os.Getenv("NATS_SERVER"); bin != "" {
		p.cmd = exec.Command(bin, "-a", "127.0.0.1", "-p", fmt.Sprint(p.what.Port), "-js", "-sd", p.what.Dir)
	}
	p.cmd.Env = append(os.Environ(), serverEnv+"="+string(text))
	if _, err := p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.url(), "nats://"))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal("the server process does not start")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// freeze returns when the process has stopped.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	for {
		var status syscall.WaitStatus
		switch _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); {
		case errors.Is(err, syscall.EINTR):
		case err != nil || !status.Stopped():
			p.t.Fatalf("the server does not freeze: %v, status %v", err, status)
		default:
			return
		}
	}
}

func (p *process) thaw() { p.signal(syscall.SIGCONT) }

// kill ends the process without a goodbye. It may be ended already.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
