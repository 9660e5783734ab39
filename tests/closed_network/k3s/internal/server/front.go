// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
)

// apiHost is where the API server itself listens. It has to use the public
// port's number, since it publishes its own port in the kubernetes Service;
// the front shares that port (SO_REUSEPORT) on all other addresses.
const apiHost = "127.0.0.2"

// front serves the public port: the supervisor's own paths, and everything
// else passed on to the API server in the name of the client's certificate.
type front struct {
	s    *state
	etcd *etcd
	passwords
	proxy [2]*httputil.ReverseProxy // without and with the authenticating proxy's certificate
}

func startFront(c *config.Config, s *state, e *etcd, p passwords) error {
	f := &front{s: s, etcd: e, passwords: p}
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.tls, "client-auth-proxy.crt"), filepath.Join(s.tls, "client-auth-proxy.key"))
	if err != nil {
		return err
	}
	f.proxy[0] = f.newProxy(c, nil)
	f.proxy[1] = f.newProxy(c, []tls.Certificate{pair})
	serving, err := tls.LoadX509KeyPair(filepath.Join(s.tls, "serving-kube-apiserver.crt"), filepath.Join(s.tls, "serving-kube-apiserver.key"))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(s.clientCA.Cert)
	share := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		_ = raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, 15 /* SO_REUSEPORT */, 1) })
		return err
	}}
	address := net.JoinHostPort(c.BindAddress, fmt.Sprint(c.Port))
	listener, err := share.Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("port %d cannot be listened on: %w", c.Port, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+supervisor.PathPing, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "pong") })
	mux.HandleFunc("GET "+supervisor.PathCACerts, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.serverCA.PEM) })
	mux.HandleFunc("POST "+supervisor.PathNode, f.authenticated(f.node, true))
	mux.HandleFunc("GET "+supervisor.PathBootstrap, f.authenticated(f.bootstrap, false))
	mux.HandleFunc("POST "+supervisor.PathMember, f.authenticated(f.member, false))
	mux.HandleFunc("POST "+supervisor.PathPromote, f.authenticated(f.promote, false))
	mux.HandleFunc("POST "+supervisor.PathToken, f.authenticated(f.token, false))
	mux.HandleFunc("/", f.pass)
	server := &http.Server{
		Handler:   mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{serving}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients, MinVersion: tls.VersionTLS12},
		ErrorLog:  log.New(discard{}, "", 0), // scanners and health checks of the bare port
	}
	go func() { log.Fatal(server.ServeTLS(listener, "", "")) }()
	return nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (f *front) newProxy(c *config.Config, certificates []tls.Certificate) *httputil.ReverseProxy {
	authorities := x509.NewCertPool()
	authorities.AddCert(f.s.serverCA.Cert)
	target := &url.URL{Scheme: "https", Host: net.JoinHostPort(apiHost, fmt.Sprint(c.Port))}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			host := r.In.Host
			r.SetURL(target)
			r.Out.Host = host
		},
		FlushInterval: -1, // watches and logs are streams
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: authorities, ServerName: internalName, Certificates: certificates, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 100, IdleConnTimeout: 90 * time.Second,
			// HTTP/1.1 towards the API server: kubectl exec upgrades its connection.
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		},
		ErrorLog: log.New(discard{}, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				http.Error(w, "the API server is not ready: "+err.Error(), http.StatusServiceUnavailable)
			}
		},
	}
}

// pass hands a request to the API server. Whoever showed a client certificate
// is named in the headers of Kubernetes' authenticating proxy.
func (f *front) pass(w http.ResponseWriter, r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Remote-") {
			r.Header.Del(name)
		}
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		f.proxy[0].ServeHTTP(w, r)
		return
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	r.Header.Set("X-Remote-User", subject.CommonName)
	for _, group := range subject.Organization {
		r.Header.Add("X-Remote-Group", group)
	}
	f.proxy[1].ServeHTTP(w, r)
}

// authenticated answers with JSON to whoever knows the cluster's secret, or, where agents may ask, the agents' own.
func (f *front) authenticated(handle func(*http.Request) (any, error), agents bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, secret, _ := r.BasicAuth()
		same := func(known string) bool { return subtle.ConstantTimeCompare([]byte(secret), []byte(known)) == 1 }
		if !same(f.s.currentSecret()) && !(agents && f.s.agents != "" && same(f.s.agents)) {
			http.Error(w, "wrong token", http.StatusUnauthorized)
			return
		}
		reply, err := handle(r)
		if err != nil {
			log.Printf("%s for %s: %v", r.URL.Path, r.RemoteAddr, err)
			status := http.StatusServiceUnavailable
			if refused := (supervisor.Refused{}); errors.As(err, &refused) {
				status = http.StatusForbidden
			}
			http.Error(w, err.Error(), status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(reply)
	}
}

func (f *front) node(r *http.Request) (any, error) {
	var request supervisor.NodeRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	if err := f.check(r.Context(), request.Name, request.Password); err != nil {
		return nil, err
	}
	return f.s.sign(request)
}

// sign makes a node's certificates.
func (s *state) sign(request supervisor.NodeRequest) (*supervisor.NodeReply, error) {
	reply := &supervisor.NodeReply{ClientCA: s.clientCA.PEM, ServerCA: s.serverCA.PEM, Cluster: s.cluster}
	for _, item := range []struct {
		csr  []byte
		ca   *pki.CA
		leaf pki.Leaf
		out  *[]byte
	}{
		{request.ClientCSR, s.clientCA, pki.Client("system:node:"+request.Name, "system:nodes"), &reply.ClientCert},
		{request.ServingCSR, s.serverCA, pki.Serving(request.Name, false, append(request.Addresses, request.Name, "127.0.0.1")...), &reply.ServingCert},
		{request.ProxyCSR, s.clientCA, pki.Client("system:kube-proxy"), &reply.ProxyCert},
	} {
		public, err := pki.PublicKey(item.csr)
		if err != nil {
			return nil, err
		}
		if *item.out, err = item.ca.Sign(item.leaf, public); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

func (f *front) member(r *http.Request) (any, error) {
	var request supervisor.MemberRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	return f.etcd.addMember(r.Context(), request)
}

func (f *front) bootstrap(*http.Request) (any, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return f.s.bundle()
}

func (f *front) token(r *http.Request) (any, error) {
	var request supervisor.TokenRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	return struct{}{}, f.etcd.rotate(r.Context(), request.NewToken)
}

func (f *front) promote(r *http.Request) (any, error) {
	var request supervisor.MemberRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	return struct{}{}, f.etcd.promote(r.Context(), request)
}
