package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/cmd/config"
)

func (a *app) initFile() *cobra.Command {
	var pair config.Pair
	var file string
	var force bool
	c := &cobra.Command{
		Use:   "init [FROM TO]",
		Short: "Write a configuration to start from",
		Long: "Writes a configuration of one route, with what people change most as comments. FROM and TO are URLs as run\n" +
			"takes them, or names of connectors: kafka, jetstream, nats. Without them it is from Kafka to JetStream. A file\n" +
			"that exists is kept, but with --force.",
		Example: "  sluice init\n" +
			"  sluice init kafka://kafka-0:9092/orders jetstream://nats-0:4222/ORDERS -o orders.yaml\n" +
			"  sluice init jetstream kafka -o -",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return exit(exitConfig, "give both FROM and TO, or neither")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"kafka", "jetstream"}
			}
			pair.From, pair.To = exampleURL(args[0]), exampleURL(args[1])
			text, err := config.Start(a.registry, pair)
			if err != nil {
				_, err = a.printed(nil, err)
				return err
			}
			if file == "-" {
				fmt.Fprint(a.stdout, text)
				return nil
			}
			if force {
				err = os.WriteFile(file, []byte(text), 0o600)
			} else {
				err = writeNew(file, []byte(text))
			}
			switch {
			case errors.Is(err, fs.ErrExist):
				return exit(exitConfig, "%s is there already: choose another with -o, or --force", file)
			case err != nil:
				return &ExitError{exitFailed, err}
			}
			fmt.Fprintf(a.stdout, "%s: edit it, then sluice validate %s, sluice doctor -c %s, sluice run -c %s\n", file, file, file, file)
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVarP(&file, "output", "o", "sluice.yaml", "`file` to write, - for standard output")
	flags.BoolVar(&force, "force", false, "write over a file that exists")
	flags.StringVar(&pair.Name, "route", "", "`name` of the route; default: after the source")
	flags.StringSliceVar(&pair.AcceptLoss, "accept-loss", nil, "`losses` that the route accepts, such as core_source")
	return c
}

// exampleURL returns the URL of a connector's example, or what it was given.
func exampleURL(name string) string {
	switch name {
	case "kafka":
		return "kafka://localhost:9092/orders"
	case "jetstream":
		return "jetstream://localhost:4222/ORDERS"
	case "nats":
		return "nats://localhost:4222/orders"
	}
	return name
}
