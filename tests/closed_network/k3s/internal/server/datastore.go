// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/proc"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
)

// access are the files that a client of etcd needs; any may be empty.
type access struct{ ca, cert, key string }

// external tells whether the datastore is somebody else's.
func (e *etcd) external() bool { return len(e.c.Datastore) > 0 }

func (e *etcd) urls() []string {
	if e.c.Database != "" {
		return []string{"unix://" + kineSocket(e.c)}
	}
	if e.external() {
		return e.c.Datastore
	}
	return []string{etcdClientURL}
}

func (e *etcd) access() access {
	if e.c.Database != "" {
		return access{} // nobody else gets at the socket
	}
	if e.external() {
		return access{e.c.DatastoreCA, e.c.DatastoreCert, e.c.DatastoreKey}
	}
	file := func(name string) string { return filepath.Join(e.s.tls, "etcd", name) }
	return access{file("server-ca.crt"), file("client.crt"), file("client.key")}
}

func (a access) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.ca != "" {
		data, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, fmt.Errorf("the datastore's authority cannot be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(data)
	}
	if a.cert != "" {
		pair, err := tls.LoadX509KeyPair(a.cert, a.key)
		if err != nil {
			return nil, fmt.Errorf("the certificate for the datastore cannot be read: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func kineSocket(c *config.Config) string { return filepath.Join(c.DataDir, "server", "kine", "socket") }

// startKine puts etcd's protocol before a database; in k3s it is a part of the
// same program.
func startKine(c *config.Config, g *proc.Group) error {
	if c.Database == "" {
		return nil
	}
	socket := kineSocket(c)
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	env := []string{"KINE_ENDPOINT=" + c.Database, "KINE_CA_FILE=" + c.DatastoreCA, "KINE_CERT_FILE=" + c.DatastoreCert, "KINE_KEY_FILE=" + c.DatastoreKey}
	program := filepath.Join(c.DataDir, "data", "current", "bin", "kine")
	return g.Secretly(env, program, "--listen-address=unix://"+socket, "--metrics-bind-address=0")
}

// flags are the API server's for the datastore.
func (e *etcd) flags() []string {
	found := []string{"--etcd-servers=" + strings.Join(e.urls(), ",")}
	a := e.access()
	for name, file := range map[string]string{"cafile": a.ca, "certfile": a.cert, "keyfile": a.key} {
		if file != "" {
			found = append(found, "--etcd-"+name+"="+file)
		}
	}
	return found
}

// adopt takes the authorities of the cluster that somebody else's datastore
// holds. An empty datastore is a new cluster's.
func (e *etcd) adopt(ctx context.Context, secret string) error {
	if err := e.wait(ctx); err != nil {
		return err
	}
	return e.with(ctx, func(ctx context.Context, client *clientv3.Client) error {
		found, err := client.Get(ctx, bootstrapPrefix, clientv3.WithPrefix())
		if err != nil || len(found.Kvs) == 0 {
			return err
		}
		for _, entry := range found.Kvs {
			if secret == "" || string(entry.Key) != bootstrapKey(secret) {
				continue
			}
			plain, err := unseal(secret, entry.Value)
			if err != nil {
				return err
			}
			var bundle supervisor.Bootstrap
			if err := json.Unmarshal(plain, &bundle); err != nil {
				return err
			}
			if bundle.Cluster != e.s.cluster {
				return fatal("this server's settings %+v are not its cluster's %+v", e.s.cluster, bundle.Cluster)
			}
			e.s.secret = secret
			return installBootstrap(e.s.dir, &bundle)
		}
		return errOtherToken
	})
}
