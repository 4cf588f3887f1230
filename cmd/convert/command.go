package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd"
	"github.com/sluice-bridge/sluice/connectors"
)

const (
	// patience is how long brokers may take to tell how far nats-kafka has got.
	patience      = time.Minute
	defaultMargin = time.Hour
	ownerOnly     = 0o600
)

// flags are those of the command.
type flags struct {
	format, out, report, resumeFrom string
	bypass, force                   bool
	streams                         []string
	margin                          time.Duration
}

// Command returns the converter for cmd.Main. The registry has to hold kafka, jetstream and nats.
func Command(registry *connectors.Registry) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "convert -f nats-kafka FILE",
		Short: "Turn the configuration of nats-kafka into one of Sluice, with a report of every key",
		Long: "Reads a configuration of nats-kafka, with what it includes, and writes one of Sluice. Every key is mapped, or told\n" +
			"of in the report with its file and line. What cannot be kept and would change which messages go where is an error:\n" +
			"nothing is written then, unless --bypass-errors leaves out those connectors. Passwords go into files of their own\n" +
			"beside the configuration; $VARIABLES stay ${VARIABLES}.\n\n" +
			"--resume-from asks a nats-server, and Kafka, how far nats-kafka has got. Run it before nats-kafka is stopped, which\n" +
			"deletes its durables. Without it routes begin at the beginning where their group has no position: nothing is lost,\n" +
			"and what was delivered comes again.",
		Example: "  sluice convert -f nats-kafka nats-kafka.conf -o sluice.yaml --report report.txt\n" +
			"  sluice convert -f nats-kafka nats-kafka.conf -o sluice.yaml --resume-from nats://localhost:4222",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.format != "nats-kafka" {
				return &cmd.ExitError{Code: 2, Err: fmt.Errorf("-f is %q; it has to be nats-kafka", f.format)}
			}
			ctx, cancel := context.WithTimeout(c.Context(), patience)
			defer cancel()
			return f.run(ctx, registry, args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	flags := c.Flags()
	flags.StringVarP(&f.format, "format", "f", "", "whose configuration it is: `nats-kafka`")
	flags.StringVarP(&f.out, "output", "o", "-", "`file` to write; - is standard output")
	flags.StringVar(&f.report, "report", "", "`file` for the report; left out: standard error")
	flags.BoolVar(&f.bypass, "bypass-errors", false, "leave out what cannot be kept")
	flags.BoolVar(&f.force, "force", false, "files that are there may be replaced")
	flags.StringArrayVar(&f.streams, "stream", nil, "the stream that has a subject, as `SUBJECT=NAME`; may be given several times")
	flags.StringVar(&f.resumeFrom, "resume-from", "", "`URL` of a nats-server that is asked for streams and positions")
	flags.DurationVar(&f.margin, "resume-margin", defaultMargin, "how long before the stream's last message a topic is read from, where its group has no position")
	_ = c.MarkFlagRequired("format") // it is there
	return c
}

func (f *flags) run(ctx context.Context, registry *connectors.Registry, path string, stdout, stderr io.Writer) error {
	v, err := f.convert(ctx, registry, path)
	if err != nil {
		return err
	}
	r := v.report(path)
	if err := f.tell(path, r, stderr); err != nil {
		return &cmd.ExitError{Code: 1, Err: err}
	}
	switch {
	case r.Errors() > 0 && !f.bypass:
		return &cmd.ExitError{Code: 2, Err: fmt.Errorf("%d errors; nothing was written. Mend them, or leave out what cannot be kept: --bypass-errors", r.Errors())}
	case r.Kept == 0:
		return &cmd.ExitError{Code: 2, Err: errors.New("no connector can be kept; nothing was written")}
	}
	if err := f.write(v, stdout, stderr); err != nil {
		return &cmd.ExitError{Code: 1, Err: err}
	}
	return nil
}

func (f *flags) convert(ctx context.Context, registry *connectors.Registry, path string) (*converter, error) {
	root, err := read(path)
	if err != nil {
		return nil, &cmd.ExitError{Code: 2, Err: err}
	}
	o := options{Streams: map[string]string{}}
	for _, text := range f.streams {
		subject, name, ok := strings.Cut(text, "=")
		if !ok {
			return nil, &cmd.ExitError{Code: 2, Err: fmt.Errorf("--stream is %q; write --stream SUBJECT=NAME", text)}
		}
		o.Streams[subject] = name
	}
	var s *natsServer
	if f.resumeFrom != "" {
		if s, err = connect(f.resumeFrom, root.one("nats"), os.LookupEnv); err != nil {
			return nil, &cmd.ExitError{Code: 3, Err: err}
		}
		defer s.conn.Close()
		o.find = s.streamOf
	}
	v, err := convert(root, o)
	if err != nil {
		return nil, &cmd.ExitError{Code: 2, Err: fmt.Errorf("%s: %w", path, err)}
	}
	v.check(registry)
	if s != nil {
		r := resumption{v, s, registry, os.LookupEnv, f.margin}
		if err := r.resume(ctx); err != nil {
			return nil, &cmd.ExitError{Code: 3, Err: err}
		}
	}
	return v, nil
}

// tell writes the report. An earlier one is replaced: people convert until there is no error.
func (f *flags) tell(old string, r *Report, stderr io.Writer) error {
	if f.report == "" {
		return r.Print(stderr)
	}
	for _, other := range []string{old, f.out} {
		if same(f.report, other) {
			return fmt.Errorf("--report %s is the file of a configuration", f.report)
		}
	}
	var text strings.Builder
	if err := r.Print(&text); err != nil {
		return err
	}
	fmt.Fprintln(stderr, r.Summary())
	return os.WriteFile(f.report, []byte(text.String()), ownerOnly)
}

// same reports whether two paths lead to one file.
func same(a, b string) bool {
	first, errA := os.Stat(a)
	second, errB := os.Stat(b)
	return filepath.Clean(a) == filepath.Clean(b) || errA == nil && errB == nil && os.SameFile(first, second)
}

// write writes the configuration, and the secrets that stood in the old file, each for its owner alone.
func (f *flags) write(v *converter, stdout, stderr io.Writer) error {
	text, err := v.configuration().yaml(reading{})
	if err != nil {
		return err
	}
	hidden := v.configuration().secrets(nil)
	if f.out == "-" {
		for _, s := range hidden {
			fmt.Fprintf(stderr, "%s: put there what stands in the old file, for its owner alone (-o FILE does that)\n", s.file)
		}
		_, err := stdout.Write(text)
		return err
	}
	for _, s := range hidden {
		if err := f.create(filepath.Join(filepath.Dir(f.out), s.file), []byte(s.text+"\n")); err != nil {
			return err
		}
	}
	if err := f.create(f.out, text); err != nil { // last, for it names the others
		return err
	}
	fmt.Fprintf(stderr, "next: sluice validate %s; sluice doctor -c %s\n", f.out, f.out)
	return nil
}

// create writes a file that is not there yet, for its owner alone. One that is replaced is made anew, for it may be one
// that others can read.
func (f *flags) create(path string, data []byte) error {
	if f.force {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, ownerOnly)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; --force replaces it", path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}
