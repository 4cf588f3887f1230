package cmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/sluice-bridge/sluice/bridge"
)

// maxOrder is how large the body of a request may be that changes a route.
const maxOrder = 16 << 10

// operator is who asks for a change, as the client says: it goes into the audit line.
type operator struct {
	Who string `json:"who"`
	Why string `json:"why,omitempty"`
}

// flags adds what every command has that changes a route.
func (o *operator) flags(c *cobra.Command) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	o.Who = name + "@" + host
	c.Flags().StringVar(&o.Why, "reason", "", "`why`, for the audit line")
}

// add puts the operator into the query of a request that has no body.
func (o *operator) add(query url.Values) {
	query.Set("who", o.Who)
	query.Set("why", o.Why)
}

// queried is what add has put there.
func queried(r *http.Request) *operator {
	return &operator{Who: r.FormValue("who"), Why: r.FormValue("why")}
}

// operator is who sends a request, as the audit line shows it: what the client says, the address that it came
// from, and whether it had the token.
func (a *admin) operator(o *operator, r *http.Request) bridge.Operator {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	if a.token != "" { // else the loopback interface is all that lets it in
		address += ", with the token"
	}
	const most = 500
	who, why := []rune(cmp.Or(o.Who, "unnamed")), []rune(o.Why)
	return bridge.Operator{
		Who: fmt.Sprintf("%s (%s)", string(who[:min(len(who), most)]), address),
		Why: string(why[:min(len(why), most)]),
	}
}

// audit leaves the line of what an operator asked for that is not about what a route does, as bridge does of that.
func (a *admin) audit(by bridge.Operator, what string, err error) {
	outcome := "done"
	if err != nil {
		outcome = "refused"
	}
	a.log.Log().Str("level", "info").Bool("audit", true).Str("who", by.Who).Str("why", by.Why).Str("what", what).
		Str("outcome", outcome).Err(err).Msg("operator: " + what)
}

// known answers for a route that does not exist.
func (a *admin) known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		for _, s := range a.routes.Status() {
			if s.Route == name {
				next(w, r)
				return
			}
		}
		writeText(w, http.StatusNotFound, fmt.Sprintf("there is no route %q\n", name))
	}
}

// readOrder reads the body of a request that changes a route; none is an order without wishes. It answers
// a body that makes no sense by itself.
func readOrder(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		writeText(w, http.StatusBadRequest, fmt.Sprintf("the request's body: %v\n", err))
		return false
	}
	return true
}
