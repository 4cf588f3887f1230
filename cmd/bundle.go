package cmd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/telemetry"
)

// bundlePatience is how long a daemon may take to collect what it knows.
const bundlePatience = 30 * time.Second

func (a *app) debug() *cobra.Command {
	c := &cobra.Command{Use: "debug", Short: "What is needed to find out what is wrong with a daemon"}
	c.AddCommand(a.bundle())
	return c
}

func (a *app) bundle() *cobra.Command {
	var file string
	var who operator
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Collect what a running daemon knows of itself into one file",
		Long: "Collects into one tar.gz what a running daemon knows of itself: version, configuration without secrets,\n" +
			"status, metrics, the states and stalls of the last 15 minutes, goroutines, the limits it runs under. It\n" +
			"holds no password and no message; it does hold names and addresses of brokers, topics and subjects.",
		Args: cobra.NoArgs,
	}
	cl := a.clientFlags(c)
	who.flags(c)
	c.Flags().StringVarP(&file, "output", "o", "", "`file` to write, - for standard output; default sluice-debug-TIME.tar.gz")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), bundlePatience)
		defer cancel()
		query := url.Values{}
		who.add(query)
		body, err := cl.call(ctx, http.MethodGet, "/debug/bundle?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		if len(body) == maxAnswer {
			return exit(exitFailed, "the bundle is larger than %d bytes", maxAnswer)
		}
		if file == "-" {
			_, err = a.stdout.Write(body)
			return err
		}
		if file == "" {
			file = "sluice-debug-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
		}
		if err := writeNew(file, body); err != nil {
			return &ExitError{exitFailed, err}
		}
		fmt.Fprintln(a.stdout, file)
		return nil
	}
	return c
}

// writeNew writes a file that does not exist yet, and that nobody else may read.
func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// history is what a bundle holds of a route's last 15 minutes.
type history struct {
	Changes []telemetry.Change      `json:"changes"`
	Stalls  []telemetry.StallStatus `json:"stalls"`
}

// debugBundle answers with the archive. It is made in memory: what the daemon knows of itself is some megabytes.
func (a *admin) debugBundle(w http.ResponseWriter, r *http.Request) {
	archive, err := a.archive(r.Context(), time.Now())
	a.audit(a.operator(queried(r), r), "debug bundle", err)
	if err != nil {
		writeText(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(archive) // the client is gone if this fails
}

func (a *admin) archive(ctx context.Context, now time.Time) ([]byte, error) {
	status := a.read()
	past := map[string]history{}
	for i := range status.Routes {
		name := status.Routes[i].Route
		past[name] = history{a.tel.Changes(name), status.Routes[i].Stalls}
	}
	metrics := &answer{header: http.Header{}}
	plain, fault := http.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody) // as text, not as the client takes it
	if fault == nil {
		a.metrics.ServeHTTP(metrics, plain)
	}
	var goroutines bytes.Buffer
	fault = errors.Join(fault, pprof.Lookup("goroutine").WriteTo(&goroutines, 2))
	var zipped bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	files := tar.NewWriter(gz)
	add := func(name string, data []byte, err error) {
		if fault = errors.Join(fault, err); fault != nil {
			return
		}
		fault = files.WriteHeader(&tar.Header{Name: "sluice-debug/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: now})
		if fault == nil {
			_, fault = files.Write(data)
		}
	}
	for _, one := range []struct {
		name string
		what any
	}{{"version.json", a.build}, {"status.json", status}, {"history.json", past}, {"environment.json", findEnvironment("/")}} {
		text, err := json.MarshalIndent(one.what, "", " ")
		add(one.name, text, err)
	}
	add("config.yaml", []byte(a.reloads.config().Redacted), nil)
	add("metrics.txt", metrics.Bytes(), nil)
	add("goroutines.txt", goroutines.Bytes(), nil)
	fault = errors.Join(fault, files.Close(), gz.Close())
	return zipped.Bytes(), fault
}

// answer keeps what a handler answers.
type answer struct {
	bytes.Buffer
	header http.Header
}

func (a *answer) Header() http.Header { return a.header }
func (a *answer) WriteHeader(int)     {}
