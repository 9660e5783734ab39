// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
	"wasinn.cluster/tests/closed_network/k3s/internal/token"
)

// shared are the files below server/tls that all servers have in common.
var shared = []string{"server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca"}

const serviceKey = "service.key"

// state is a server's identity: its authorities and the cluster's secret.
type state struct {
	dir, tls  string // <data-dir>/server and server/tls
	mu        sync.Mutex
	secret    string // under mu once the front runs
	agents    string // the secret that agents have, where it is another one
	serverCA  *pki.CA
	clientCA  *pki.CA
	headerCA  *pki.CA
	etcdCA    *pki.CA
	peerCA    *pki.CA
	cluster   supervisor.Cluster
	bootstrap *supervisor.Client // the server joined, on a further server
}

func clusterOf(c *config.Config) supervisor.Cluster {
	return supervisor.Cluster{ClusterCIDR: c.ClusterCIDR, ServiceCIDR: c.ServiceCIDR, ClusterDNS: c.ClusterDNS, ClusterDomain: c.ClusterDomain, FlannelBackend: c.FlannelBackend}
}

// prepare loads the server's identity, takes it from the server to join, or
// makes a new cluster's.
func prepare(ctx context.Context, c *config.Config) (*state, error) {
	s := &state{dir: filepath.Join(c.DataDir, "server"), cluster: clusterOf(c)}
	s.tls = filepath.Join(s.dir, "tls")
	if err := os.MkdirAll(s.tls, 0o700); err != nil {
		return nil, err
	}
	given := token.Token{}
	if c.Token != "" {
		var err error
		if given, err = token.Parse(c.Token, "server"); err != nil {
			return nil, err
		}
	}
	if c.AgentToken != "" {
		agents, err := token.Parse(c.AgentToken, "node")
		if err != nil {
			return nil, fmt.Errorf("agent-token: %w", err)
		}
		s.agents = agents.Secret
	}
	tokenFile := filepath.Join(s.dir, "token")
	_, err := os.Stat(tokenFile)
	known := err == nil
	if c.Server != "" {
		if err := s.join(ctx, c, given, known); err != nil {
			return nil, err
		}
	}
	if e := newEtcd(c, s); e.external() && !known {
		if err := e.adopt(ctx, given.Secret); err != nil {
			return nil, err
		}
	}
	if err := s.authorities(); err != nil {
		return nil, err
	}
	if err := given.CheckCA(s.serverCA.PEM); err != nil {
		return nil, fmt.Errorf("%w: the configured token is of another cluster than %s", err, s.dir)
	}
	switch data, err := os.ReadFile(tokenFile); {
	case err == nil:
		stored, err := token.Parse(string(data), "server")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tokenFile, err)
		}
		if s.secret == "" {
			s.secret = given.Secret // may be of a rotation elsewhere: the datastore is asked once it runs
		}
		if s.secret == "" {
			s.secret = stored.Secret
		}
	case s.secret != "":
	case given.Secret != "":
		s.secret = given.Secret
	default:
		s.secret = token.New()
	}
	if c.EncryptSecrets {
		if err := ensureEncryption(s.dir); err != nil {
			return nil, err
		}
	}
	return s, s.leaves(c)
}

// join takes the cluster's authorities from another server. A server that has
// them needs that one only to become a member of etcd.
func (s *state) join(ctx context.Context, c *config.Config, t token.Token, known bool) error {
	if known && memberExists(s.dir) {
		return nil
	}
	say := func(err error) { log.Printf("waiting for server %s: %v", c.Server, err) }
	return supervisor.Retry(ctx, say, func() error {
		client, err := supervisor.Dial(ctx, c.Server, t)
		if err != nil {
			return err
		}
		var reply supervisor.Bootstrap
		if err := client.Call(ctx, supervisor.PathBootstrap, nil, &reply); err != nil {
			return err
		}
		if reply.Cluster != s.cluster {
			return fatal("this server's settings %+v are not its cluster's %+v: give the same cluster-cidr, service-cidr, cluster-dns, cluster-domain and flannel-backend on all servers", s.cluster, reply.Cluster)
		}
		if err := installBootstrap(s.dir, &reply); err != nil {
			return err
		}
		s.secret, s.bootstrap = reply.Secret, client
		return nil
	})
}

func (s *state) authorities() (err error) {
	load := func(target **pki.CA, name, cn string) {
		if err == nil {
			*target, err = pki.EnsureCA(filepath.Join(s.tls, name), cn)
		}
	}
	load(&s.serverCA, "server-ca", "k3s-server-ca")
	load(&s.clientCA, "client-ca", "k3s-client-ca")
	load(&s.headerCA, "request-header-ca", "k3s-request-header-ca")
	load(&s.etcdCA, "etcd/server-ca", "etcd-server-ca")
	load(&s.peerCA, "etcd/peer-ca", "etcd-peer-ca")
	if err == nil {
		_, err = pki.EnsureKey(filepath.Join(s.tls, serviceKey))
	}
	return err
}

// internalName is only in the API server's own certificate, never in the one
// shown on the public port: the front can thus not take itself for its backend.
const internalName = "kube-apiserver.k3s.internal"

func (s *state) leaves(c *config.Config) error {
	services := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.ClusterDomain}
	names := append([]string{"localhost", "127.0.0.1", c.NodeName}, services...)
	names = append(names, c.NodeIPs...)
	for _, cidr := range config.Ranges(c.ServiceCIDR) {
		names = append(names, config.ServiceAddress(cidr, 1))
	}
	if c.NodeExternalIP != "" {
		names = append(names, c.NodeExternalIP)
	}
	names = append(names, c.TLSSANs...)
	etcdNames := []string{"localhost", "127.0.0.1", c.NodeIP(), c.NodeName}
	for base, made := range map[string]struct {
		ca   *pki.CA
		leaf pki.Leaf
	}{
		"serving-kube-apiserver":  {s.serverCA, pki.Serving("kube-apiserver", false, names...)},
		"serving-internal":        {s.serverCA, pki.Serving("kube-apiserver", false, internalName)},
		"client-admin":            {s.clientCA, pki.Client("system:admin", "system:masters")},
		"client-supervisor":       {s.clientCA, pki.Client("system:k3s-supervisor", "system:masters")},
		"client-controller":       {s.clientCA, pki.Client("system:kube-controller-manager")},
		"client-scheduler":        {s.clientCA, pki.Client("system:kube-scheduler")},
		"client-kube-apiserver":   {s.clientCA, pki.Client("system:apiserver", "system:masters")},
		"client-auth-proxy":       {s.headerCA, pki.Client("system:auth-proxy")},
		"etcd/client":             {s.etcdCA, pki.Client("etcd-client")},
		"etcd/server-client":      {s.etcdCA, pki.Serving("etcd-server", true, etcdNames...)},
		"etcd/peer-server-client": {s.peerCA, pki.Serving("etcd-peer", true, etcdNames...)},
	} {
		if err := made.ca.EnsureLeaf(filepath.Join(s.tls, base), made.leaf); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) currentSecret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secret
}

// bundle is what a further server gets.
func (s *state) bundle() (*supervisor.Bootstrap, error) {
	files, names := map[string][]byte{}, []string{serviceKey}
	for _, name := range shared {
		names = append(names, name+".crt", name+".key")
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(s.tls, name))
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	encryption, err := os.ReadFile(encryptionFile(s.dir))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return &supervisor.Bootstrap{Secret: s.secret, Files: files, Encryption: encryption, Cluster: s.cluster}, nil
}

func fatal(format string, args ...any) error {
	return supervisor.Refuse(fmt.Errorf(format, args...))
}

var errNotReady = errors.New("the server is not ready yet")
