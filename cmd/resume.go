package cmd

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
)

// resumeOrder is the body of a request to resume.
type resumeOrder struct {
	operator
	Skip bool `json:"skip,omitempty"`
	Drop bool `json:"drop,omitempty"`
}

func (a *app) resume() *cobra.Command {
	c := &cobra.Command{
		Use:   "resume ROUTE",
		Short: "Let a halted route go on, once the cause is mended",
		Long: "Lets a halted route go on from its committed position, once the cause is mended. With --skip the one\n" +
			"message that blocks is given up: it goes to the route's dead letters, and with --drop nowhere.",
		Args: cobra.ExactArgs(1),
	}
	cl := a.clientFlags(c)
	var order resumeOrder
	order.flags(c)
	c.Flags().BoolVar(&order.Skip, "skip", false, "give up the message that blocks: it goes to the route's dead letters")
	c.Flags().BoolVar(&order.Drop, "drop", false, "with --skip: it goes nowhere")
	c.RunE = func(c *cobra.Command, args []string) error {
		if order.Drop && !order.Skip {
			return exit(exitConfig, "--drop says what becomes of the message that --skip gives up: add --skip")
		}
		if _, err := cl.post(c.Context(), args[0], "resume", order); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s goes on\n", args[0])
		return nil
	}
	return c
}

func (a *admin) resume(w http.ResponseWriter, r *http.Request) {
	var order resumeOrder
	if !readOrder(w, r, &order) {
		return
	}
	if order.Drop && !order.Skip {
		writeText(w, http.StatusBadRequest, "drop needs skip\n")
		return
	}
	name := r.PathValue("name")
	if err := a.routes.Resume(name, bridge.Resume{Skip: order.Skip, Drop: order.Drop, By: order.from(r)}); err != nil {
		writeText(w, http.StatusConflict, err.Error()+"\n")
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"route": name, "resumed": "true"})
}
