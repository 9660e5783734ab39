// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"wasinn.cluster/tests/closed_network/k3s/internal/token"
)

// Refused is a server's answer that trying again does not change.
type Refused struct{ error }

// Client talks to one server with a join token.
type Client struct {
	server string
	token  token.Token
	http   *http.Client
	CA     []byte
}

// Dial fetches the cluster's CA from the server and checks it against the
// token. In the short form the token names no CA, and the one found is trusted.
func Dial(ctx context.Context, server string, t token.Token) (*Client, error) {
	blind := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer blind.CloseIdleConnections()
	ca, err := do(ctx, blind, http.MethodGet, server+PathCACerts, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := t.CheckCA(ca); err != nil {
		return nil, Refused{fmt.Errorf("%w: the token is of another cluster than %s; copy it from that server's node-token file", err, server)}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, Refused{fmt.Errorf("%s%s holds no certificate: is %s a k3s server?", server, PathCACerts, server)}
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return &Client{server: server, token: t, CA: ca, http: &http.Client{Timeout: 60 * time.Second, Transport: transport}}, nil
}

// Call posts a request and decodes the reply; a nil request is a GET.
func (c *Client) Call(ctx context.Context, path string, request, reply any) error {
	method, body := http.MethodGet, []byte(nil)
	if request != nil {
		method = http.MethodPost
		var err error
		if body, err = json.Marshal(request); err != nil {
			return err
		}
	}
	data, err := do(ctx, c.http, method, c.server+path, body, func(r *http.Request) { r.SetBasicAuth(c.token.User, c.token.Secret) })
	if err != nil || reply == nil {
		return err
	}
	return json.Unmarshal(data, reply)
}

func do(ctx context.Context, client *http.Client, method, url string, body []byte, prepare func(*http.Request)) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, Refused{err}
	}
	if prepare != nil {
		prepare(r)
	}
	answer, err := client.Do(r)
	if err != nil {
		if unknown := new(x509.HostnameError); errors.As(err, unknown) {
			return nil, Refused{fmt.Errorf("%w: add that name to the server's tls-san", err)}
		}
		return nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 8<<20))
	if err != nil {
		return nil, err
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return nil, Refused{fmt.Errorf("%s refused the token: its secret is not this cluster's; copy it from that server's /var/lib/rancher/k3s/server/node-token", url)}
	case answer.StatusCode >= 400 && answer.StatusCode < 500:
		return nil, Refused{fmt.Errorf("%s refused the request: %s", url, strings.TrimSpace(string(data)))}
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s: %s", url, answer.Status, strings.TrimSpace(string(data)))
	}
	return data, nil
}

// Retry repeats f until it succeeds, is refused, or ctx ends.
func Retry(ctx context.Context, say func(error), f func() error) error {
	for {
		err := f()
		refused := Refused{}
		if err == nil || errors.As(err, &refused) {
			return err
		}
		say(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

// Refuse marks an error as one that trying again does not change.
func Refuse(err error) error { return Refused{err} }
