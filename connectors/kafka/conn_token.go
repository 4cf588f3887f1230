package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// errToken is that there is nothing to log in with.
var errToken = errors.New("no token can be had")

const (
	// maxToken bounds what the endpoint answers.
	maxToken = 1 << 20
	// tokenLife is how long a token counts where the endpoint does not say.
	tokenLife = time.Minute
)

// tokens keeps the bearer token that a client's credentials were changed for. Any goroutine.
type tokens struct {
	mu    sync.Mutex
	token string
	until time.Time // from then on another one is asked for
}

// get returns a token, which it asks for where there is none, it is about to expire, or fresh is set.
func (t *tokens) get(ctx context.Context, s *SASL, fresh bool) (string, error) {
	t.mu.Lock()
	token, until := t.token, t.until
	t.mu.Unlock()
	if !fresh && time.Now().Before(until) {
		return token, nil
	}
	begin := time.Now()
	token, life, err := fetchToken(ctx, s)
	if err != nil {
		return "", fmt.Errorf("%w from %s: %w", errToken, s.Endpoint, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.until = token, begin.Add(life-min(life/5, time.Minute))
	return token, nil
}

// fetchToken asks the endpoint (RFC 6749, section 4.4).
func fetchToken(ctx context.Context, s *SASL) (token string, life time.Duration, err error) {
	secret, err := s.ClientSecret.Reveal()
	if err != nil {
		return "", 0, fmt.Errorf("the client secret cannot be read: %w", err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if s.Scope != "" {
		form.Set("scope", s.Scope)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.SetBasicAuth(url.QueryEscape(s.ClientID), url.QueryEscape(secret))
	client := http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the secret is for this host
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxToken+1))
	switch {
	case err != nil:
		return "", 0, err
	case len(body) > maxToken:
		return "", 0, fmt.Errorf("the answer is longer than %d bytes", maxToken)
	}
	return readToken(answer.StatusCode, body)
}

// readToken reads an answer (RFC 6749, sections 5.1 and 5.2). It never repeats what may be a token.
func readToken(status int, body []byte) (token string, life time.Duration, err error) {
	var a struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"`
		Error   string  `json:"error"`
		Why     string  `json:"error_description"`
	}
	err = json.Unmarshal(body, &a)
	switch {
	case a.Error != "":
		return "", 0, fmt.Errorf("%.100q %.300q", a.Error, a.Why)
	case status != http.StatusOK:
		return "", 0, fmt.Errorf("the answer is %d %s", status, http.StatusText(status))
	case err != nil:
		return "", 0, errors.New("the answer is not JSON as RFC 6749 has it")
	case a.Token == "" || strings.ContainsAny(a.Token, "\x00\x01\r\n"):
		return "", 0, errors.New("the answer holds no access_token")
	}
	life = tokenLife
	if a.Expires > 0 {
		life = time.Duration(min(a.Expires, 24*3600) * float64(time.Second))
	}
	return a.Token, life, nil
}
