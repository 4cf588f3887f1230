package nats

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// rights are what a user may use: all that is allowed, or everything where nothing is named, but what is denied.
type rights struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

func (r *rights) allow(subject string) bool {
	return r == nil || (len(r.Allow) == 0 || covers(r.Allow, subject)) && !meets(r.Deny, subject)
}

// needs are the subjects that an end cannot do without, and those without which it does less well.
type needs struct {
	publish, wished, subscribe []string
	without                    string // what it does where wished is not allowed
}

// permissionCheck asks the server what the user may do (ADR-13, $SYS.REQ.USER.INFO), for only a message that is
// sent would show it otherwise.
func (e *examiner) permissionCheck(end string, n *needs) connectors.Check {
	return e.of("the user's rights for "+end, "nats.permission", "nats.login", func(ctx context.Context) []connectors.Finding {
		var answer struct {
			Data struct {
				Permissions *struct {
					Publish   *rights `json:"publish"`
					Subscribe *rights `json:"subscribe"`
				} `json:"permissions"`
			} `json:"data"`
		}
		m, err := e.conn.request(ctx, "$SYS.REQ.USER.INFO", nil)
		if err == nil {
			err = decodeAPI(m.Data, &answer)
		}
		if err != nil {
			return connectors.Found(connectors.Fine, e.grantWay("publish", "$SYS.REQ.USER.INFO"), "the user may not see its own rights; the checks below show those that they use")
		}
		p := answer.Data.Permissions
		if p == nil {
			return connectors.Found(connectors.Fine, "", "the user may publish and subscribe to everything")
		}
		var all []connectors.Finding
		lacking := func(level connectors.Level, verb string, have *rights, subjects []string, without string) {
			var denied []string
			for _, s := range subjects {
				if !have.allow(s) {
					denied = append(denied, s)
				}
			}
			if len(denied) > 0 {
				all = append(all, connectors.Finding{Level: level, Way: e.grantWay(verb, denied...),
					Text: fmt.Sprintf("the user may not %s to %s%s", verb, strings.Join(denied, ", "), without)})
			}
		}
		lacking(connectors.Failed, "publish", p.Publish, n.publish, "")
		lacking(connectors.Failed, "subscribe", p.Subscribe, n.subscribe, "")
		lacking(connectors.Warning, "publish", p.Publish, n.wished, ": "+n.without)
		if all == nil {
			return connectors.Found(connectors.Fine, "", "the user has the rights that the route uses")
		}
		return all
	})
}

// grantWay is how a user gets a right: in the server's file, or with accounts of their own by nsc.
func (e *examiner) grantWay(verb string, subjects ...string) string {
	var quoted, flags []string
	flag := map[string]string{"publish": "--allow-pub", "subscribe": "--allow-sub"}[verb]
	for _, s := range subjects {
		quoted = append(quoted, fmt.Sprintf("%q", s))
		flags = append(flags, flag+connectors.CommandLine(" %s", s))
	}
	user := e.user()
	if user == "" {
		user = "USER"
	}
	return fmt.Sprintf("%s (or, where users are made by nsc: nsc edit user %s %s)",
		serverWay(fmt.Sprintf("add %s to permissions: {%s: {allow: [...]}} of %s", strings.Join(quoted, ", "), verb, user)), connectors.ShellWord(user), strings.Join(flags, " "))
}

// covers reports whether filters let through everything that the pattern stands for, which may have wildcards.
func covers(filters []string, pattern string) bool {
	head, many := strings.CutSuffix(pattern, ">")
	if !many {
		return captures(filters, pattern)
	}
	// A last > stands for one token or more. What is longer than every filter is taken only by one that ends so
	// too, which takes all that is longer still.
	longest := 0
	for _, f := range filters {
		longest = max(longest, strings.Count(f, ".")+1)
	}
	for rest := "*"; ; rest += ".*" {
		if !captures(filters, head+rest) {
			return false
		}
		if strings.Count(head+rest, ".") > longest {
			return true
		}
	}
}

// meets reports whether a filter takes some of what the pattern stands for.
func meets(filters []string, pattern string) bool {
	for _, f := range filters {
		if intersect(strings.Split(f, "."), strings.Split(pattern, ".")) {
			return true
		}
	}
	return false
}

func intersect(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == ">" || b[i] == ">":
			return true
		case a[i] != b[i] && a[i] != "*" && b[i] != "*":
			return false
		}
	}
	return len(a) == len(b)
}
