package cmd

import (
	"strings"
	"time"
)

// lossWorthSaying is how near the loss of unread data has to be for `status` to speak of it.
const lossWorthSaying = 24 * time.Hour

// unreadView is what /status says of the time that unread data has.
type unreadView struct {
	Age      *float64 `json:"age_seconds"`
	CaughtUp *float64 `json:"caught_up_seconds"`
	Loss     *float64 `json:"loss_seconds"`
	Limit    string   `json:"limit"`
}

// words tells how old the oldest is and when it is read; empty where neither is known.
func (u *unreadView) words() string {
	var words []string
	if u == nil {
		return ""
	}
	if u.Age != nil {
		words = append(words, ago(*u.Age)+" old")
	}
	if u.CaughtUp != nil {
		words = append(words, "caught up in "+ago(*u.CaughtUp))
	}
	return strings.Join(words, ", ")
}

// loss tells when the oldest unread message is lost, and to what; empty: it is not, or not soon.
func (u *unreadView) loss() string {
	if u == nil || u.Loss == nil || *u.Loss > lossWorthSaying.Seconds() {
		return ""
	}
	if *u.Loss == 0 {
		return "the oldest unread messages are past " + u.Limit + ": upstream may have removed them"
	}
	return "the oldest unread message is lost in " + ago(*u.Loss) + ": " + u.Limit
}
