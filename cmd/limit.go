package cmd

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/config"
)

// limitOrder is the body of a request to limit a route. What is absent stays.
type limitOrder struct {
	operator
	Messages *config.MessageRate `json:"messages,omitempty"`
	Bytes    *config.ByteRate    `json:"bytes,omitempty"`
}

// limitAnswer is what holds then.
type limitAnswer struct {
	Route    string             `json:"route"`
	Messages config.MessageRate `json:"messages"`
	Bytes    config.ByteRate    `json:"bytes"`
}

func (a *app) limit() *cobra.Command {
	var messages, bytes string
	c := &cobra.Command{
		Use:   "limit ROUTE (--messages N/s | --bytes SIZE/s)",
		Short: "Limit how much a route fetches a second",
		Long: "Limits how much a route fetches a second, from now on: until it is changed again, also by a reload, or a\n" +
			"restart of the daemon, after which the limit of the configuration holds. none lifts a limit. A route at its\n" +
			"limit is limited, by the operator (rate); that is no stall. Bytes are those of the window: what a message\n" +
			"takes in memory.",
		Example: "  sluice limit orders --messages 1000/s --reason \"the new cluster warms up\"\n" +
			"  sluice limit orders --messages none",
		Args: cobra.ExactArgs(1),
	}
	cl := a.clientFlags(c)
	var order limitOrder
	order.flags(c)
	c.Flags().StringVar(&messages, "messages", "", "`rate`, such as 1000/s, or none")
	c.Flags().StringVar(&bytes, "bytes", "", "`rate`, such as 20MiB/s, or none")
	c.RunE = func(c *cobra.Command, args []string) error {
		if messages == "" && bytes == "" {
			return exit(exitConfig, "to what? Add --messages, such as --messages 1000/s, or --bytes")
		}
		if messages != "" {
			order.Messages = new(config.MessageRate)
			if err := order.Messages.UnmarshalText([]byte(messages)); err != nil {
				return exit(exitConfig, "--messages: %w", err)
			}
		}
		if bytes != "" {
			order.Bytes = new(config.ByteRate)
			if err := order.Bytes.UnmarshalText([]byte(bytes)); err != nil {
				return exit(exitConfig, "--bytes: %w", err)
			}
		}
		body, err := cl.post(c.Context(), args[0], "limit", order)
		if err != nil {
			return err
		}
		var answer limitAnswer
		if err := cl.decode(body, &answer); err != nil {
			return err
		}
		// Neither fails.
		m, _ := answer.Messages.MarshalText()
		b, _ := answer.Bytes.MarshalText()
		fmt.Fprintf(a.stdout, "%s: messages %s, bytes %s\n", args[0], m, b)
		return nil
	}
	return c
}

func (a *admin) limit(w http.ResponseWriter, r *http.Request) {
	var order limitOrder
	if !readOrder(w, r, &order) {
		return
	}
	if order.Messages == nil && order.Bytes == nil {
		writeText(w, http.StatusBadRequest, "a limit needs messages or bytes\n")
		return
	}
	name := r.PathValue("name")
	holds, err := a.routes.SetLimit(name, bridge.LimitOrder{
		Messages: perSecond(order.Messages), Bytes: perSecond(order.Bytes), By: a.operator(&order.operator, r),
	})
	if err != nil {
		writeText(w, http.StatusConflict, err.Error()+"\n")
		return
	}
	writeJSON(w, http.StatusOK, limitAnswer{name, config.MessageRate(holds.Messages), config.ByteRate(holds.Bytes)})
}

func perSecond[R ~int64](rate *R) *float64 {
	if rate == nil {
		return nil
	}
	f := float64(*rate)
	return &f
}
