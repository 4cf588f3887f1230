package nats

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// jetStreamURL reads jetstream://[user[:password]@]host:4222/STREAM[/subject][?durable=d&start=s&shared=true&mode=m].
func jetStreamURL(u *url.URL, end connectors.End) (map[string]any, error) {
	section, err := serversOf(u)
	if err != nil {
		return nil, err
	}
	stream, subject, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if stream == "" {
		return nil, errors.New("the stream is missing; write jetstream://host:4222/STREAM")
	}
	section["stream"] = stream
	if end == connectors.SourceEnd {
		if subject != "" {
			section["subjects"] = []any{subject}
		}
		return section, addQuery(section, u, "durable", "start", "shared", "tls", "creds_file")
	}
	if subject != "" {
		section["subject"] = subject
	}
	return section, addQuery(section, u, "mode", "tls", "creds_file")
}

// coreURL reads nats://[user[:password]@]host:4222/subject[?queue=q&ack_mode=m].
func coreURL(u *url.URL, end connectors.End) (map[string]any, error) {
	section, err := serversOf(u)
	if err != nil {
		return nil, err
	}
	subject := strings.Trim(u.Path, "/")
	if end == connectors.SourceEnd {
		if subject == "" {
			return nil, errors.New("the subject is missing; write nats://host:4222/subject")
		}
		section["subjects"] = []any{subject}
		return section, addQuery(section, u, "queue", "ack_mode", "tls", "creds_file")
	}
	if subject != "" {
		section["subject"] = subject
	}
	return section, addQuery(section, u, "tls", "creds_file")
}

func serversOf(u *url.URL) (map[string]any, error) {
	var servers []any
	for host := range strings.SplitSeq(u.Host, ",") {
		if host == "" {
			return nil, fmt.Errorf("the host is missing; write %s://host:4222/...", u.Scheme)
		}
		servers = append(servers, "nats://"+host)
	}
	section := map[string]any{"servers": servers}
	if u.User != nil {
		section["user"] = u.User.Username()
		if password, ok := u.User.Password(); ok {
			section["password"] = password
		}
	}
	return section, nil
}

func addQuery(section map[string]any, u *url.URL, known ...string) error {
	var errs []error
next:
	for key, values := range u.Query() {
		for _, k := range known {
			if key == k && len(values) == 1 {
				section[key] = values[0]
				continue next
			}
			if key == k {
				errs = append(errs, fmt.Errorf("?%s= stands there %d times", key, len(values)))
				continue next
			}
		}
		if len(known) == 0 {
			errs = append(errs, fmt.Errorf("?%s= is unknown; there are no parameters here", key))
			continue
		}
		errs = append(errs, fmt.Errorf("?%s= is unknown; the parameters are %s", key, strings.Join(known, ", ")))
	}
	return errors.Join(errs...)
}
