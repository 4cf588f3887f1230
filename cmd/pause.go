package cmd

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/telemetry"
)

// pauseOrder is the body of a request to pause.
type pauseOrder struct{ operator }

// pauseAnswer is what it answers.
type pauseAnswer struct {
	Route string `json:"route"`
	// Uncommitted is what was in flight or not yet committed at that moment.
	Uncommitted int64 `json:"uncommitted"`
}

// resumeOrder is the body of a request to resume.
type resumeOrder struct {
	operator
	Skip bool `json:"skip,omitempty"`
	Drop bool `json:"drop,omitempty"`
}

// resumeAnswer is what it answers: what held the route. One is set, or both.
type resumeAnswer struct {
	Route  string                 `json:"route"`
	Halted *telemetry.HaltStatus  `json:"halted,omitempty"`
	Paused *telemetry.PauseStatus `json:"paused,omitempty"`
}

func (a *app) pause() *cobra.Command {
	c := &cobra.Command{
		Use:   "pause ROUTE --reason TEXT",
		Short: "Have a route fetch nothing until it is resumed",
		Long: "Has a route fetch nothing more. What is in flight is written and committed; the route keeps its place in\n" +
			"the consumer group, or its durable, so nothing moves to other instances: pause each of them if nothing is\n" +
			"to be read at all. What is not read may expire: sluice status says when.\n\n" +
			"A pause ends with sluice resume ROUTE, or with the daemon, which moves messages again after a restart. To\n" +
			"keep it over restarts write paused: true into the route's configuration as well.\n\n" +
			"Core NATS publishers cannot be asked to wait: what comes meanwhile and does not fit the route's buffer is\n" +
			"dropped and counted, as in a stall.",
		Args: cobra.ExactArgs(1),
	}
	cl := a.clientFlags(c)
	var order pauseOrder
	order.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if order.Why == "" {
			return exit(exitConfig, "why? Whoever looks at the route asks: add --reason TEXT")
		}
		body, err := cl.post(c.Context(), args[0], "pause", order)
		if err != nil {
			return err
		}
		var answer pauseAnswer
		if err := cl.decode(body, &answer); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s is paused, until sluice resume %s or a restart of the daemon; %s in flight or uncommitted, which it finishes\n",
			args[0], args[0], count(int(answer.Uncommitted), "message"))
		return nil
	}
	return c
}

func (a *app) resume() *cobra.Command {
	c := &cobra.Command{
		Use:   "resume ROUTE",
		Short: "Let a route go on that is paused, or halted and mended",
		Long: "Lets a route go on from its committed position that an operator has paused, or that has halted, once the\n" +
			"cause is mended; it says which it was. With --skip the one message that blocks is given up: it goes to the\n" +
			"route's dead letters, and with --drop nowhere.",
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
		body, err := cl.post(c.Context(), args[0], "resume", order)
		if err != nil {
			return err
		}
		var answer resumeAnswer
		if err := cl.decode(body, &answer); err != nil {
			return err
		}
		was := bridge.Resumed{Halted: answer.Halted, Paused: answer.Paused}
		fmt.Fprintf(a.stdout, "%s goes on; it was %s\n", args[0], was.String())
		return nil
	}
	return c
}

func (a *admin) pause(w http.ResponseWriter, r *http.Request) {
	var order pauseOrder
	if !readOrder(w, r, &order) {
		return
	}
	name := r.PathValue("name")
	if order.Why == "" {
		writeText(w, http.StatusBadRequest, "a pause needs a reason: why\n")
		return
	}
	if err := a.routes.Pause(name, a.operator(&order.operator, r)); err != nil {
		writeText(w, http.StatusConflict, err.Error()+"\n")
		return
	}
	answer := pauseAnswer{Route: name}
	for _, s := range a.routes.Status() {
		if s.Route == name {
			answer.Uncommitted = s.Window.Uncommitted
		}
	}
	writeJSON(w, http.StatusOK, answer)
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
	was, err := a.routes.Resume(name, bridge.Resume{Skip: order.Skip, Drop: order.Drop, By: a.operator(&order.operator, r)})
	if err != nil {
		writeText(w, http.StatusConflict, err.Error()+"\n")
		return
	}
	writeJSON(w, http.StatusOK, resumeAnswer{Route: name, Halted: was.Halted, Paused: was.Paused})
}
