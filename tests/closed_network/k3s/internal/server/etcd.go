// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/proc"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
)

const etcdClientURL = "https://127.0.0.1:2379"

// etcd is the cluster's datastore: this server's member of it, or somebody
// else's.
type etcd struct {
	c    *config.Config
	s    *state
	name string
	peer string
}

func newEtcd(c *config.Config, s *state) *etcd {
	return &etcd{c: c, s: s, name: c.NodeName, peer: "https://" + c.NodeIP() + ":2380"}
}

func memberExists(serverDir string) bool {
	_, err := os.Stat(filepath.Join(serverDir, "db", "etcd", "member"))
	return err == nil
}

// start runs etcd: again, as a new cluster, or as a learner of an existing one
// that is promoted once it has caught up. A learner cannot take the quorum
// from the others, should this server fail on its way.
func (e *etcd) start(ctx context.Context, g *proc.Group) error {
	if e.external() {
		return e.wait(ctx)
	}
	initial, state := e.name+"="+e.peer, "new"
	joining := !memberExists(e.s.dir) && e.s.bootstrap != nil
	say := func(err error) { log.Printf("joining the datastore: %v", err) }
	request := supervisor.MemberRequest{Name: e.name, PeerURL: e.peer}
	// Kept until the promotion, for a server that is stopped in between.
	marker := filepath.Join(e.s.dir, "db", "joining")
	if joining {
		var reply supervisor.MemberReply
		err := supervisor.Retry(ctx, say, func() error { return e.s.bootstrap.Call(ctx, supervisor.PathMember, request, &reply) })
		if err != nil {
			return err
		}
		initial, state = reply.InitialCluster, "existing"
		if err := pki.WriteFile(marker, []byte(e.c.Server+"\n"), 0o600); err != nil {
			return err
		}
	}
	tlsFile := func(name string) string { return filepath.Join(e.s.tls, "etcd", name) }
	data := filepath.Join(e.s.dir, "db", "etcd")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	err := g.Self("etcd", append([]string{
		"--name=" + e.name, "--data-dir=" + data,
		"--listen-client-urls=" + etcdClientURL + ",https://" + e.c.NodeIP() + ":2379", "--advertise-client-urls=https://" + e.c.NodeIP() + ":2379",
		"--listen-peer-urls=" + e.peer, "--initial-advertise-peer-urls=" + e.peer,
		"--initial-cluster=" + initial, "--initial-cluster-state=" + state, "--initial-cluster-token=k3s",
		"--cert-file=" + tlsFile("server-client.crt"), "--key-file=" + tlsFile("server-client.key"), "--trusted-ca-file=" + tlsFile("server-ca.crt"), "--client-cert-auth",
		"--peer-cert-file=" + tlsFile("peer-server-client.crt"), "--peer-key-file=" + tlsFile("peer-server-client.key"), "--peer-trusted-ca-file=" + tlsFile("peer-ca.crt"), "--peer-client-cert-auth",
		"--heartbeat-interval=500", "--election-timeout=5000", "--log-level=warn", "--snapshot-count=10000",
	}, flags(e.c.EtcdArgs)...)...)
	if err != nil {
		return err
	}
	if _, err := os.Stat(marker); err == nil {
		if e.s.bootstrap == nil {
			return fmt.Errorf("this server was stopped while it joined %s: remove %s and start again", e.c.Server, filepath.Join(e.s.dir, "db"))
		}
		err := supervisor.Retry(ctx, say, func() error { return e.s.bootstrap.Call(ctx, supervisor.PathPromote, request, nil) })
		if err != nil {
			return err
		}
		_ = os.Remove(marker)
	}
	return e.wait(ctx)
}

func (e *etcd) client() (*clientv3.Client, error) {
	config := clientv3.Config{Endpoints: e.urls(), DialTimeout: 5 * time.Second, Logger: zap.NewNop()}
	if strings.HasPrefix(config.Endpoints[0], "https:") {
		var err error
		if config.TLS, err = e.access().config(); err != nil {
			return nil, err
		}
	}
	return clientv3.New(config)
}

// confirm asks the datastore about this server's secret.
func (e *etcd) confirm(ctx context.Context) error {
	return e.with(ctx, func(ctx context.Context, client *clientv3.Client) error { return e.s.confirm(ctx, client) })
}

// rotate gives the cluster another secret.
func (e *etcd) rotate(ctx context.Context, secret string) error {
	return e.with(ctx, func(ctx context.Context, client *clientv3.Client) error { return e.s.rotate(ctx, client, secret) })
}

func (e *etcd) with(ctx context.Context, do func(context.Context, *clientv3.Client) error) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return do(ctx, client)
}

// wait returns once the datastore answers a read that needs a quorum.
func (e *etcd) wait(ctx context.Context) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	defer client.Close()
	said := time.Now()
	for {
		attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err := client.Get(attempt, "/k3s-stand-in/health")
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(said) > 15*time.Second {
			said = time.Now()
			log.Printf("waiting for the datastore %s: %v; it needs more than half of its servers", strings.Join(e.urls(), ", "), err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// addMember adds a learner, in place of one of the same name or address that
// never became a member.
func (e *etcd) addMember(ctx context.Context, r supervisor.MemberRequest) (*supervisor.MemberReply, error) {
	client, err := e.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("the datastore does not answer: %w", err)
	}
	for _, m := range list.Members {
		if m.Name != r.Name && !slices.Contains(m.PeerURLs, r.PeerURL) {
			continue
		}
		// A server that comes without its data is a new member: the old one
		// is dropped, so that the quorum counts who is there.
		if _, err := client.MemberRemove(ctx, m.ID); err != nil {
			return nil, fmt.Errorf("the former member %s cannot be removed: %w", r.Name, err)
		}
	}
	added, err := client.MemberAddAsLearner(ctx, []string{r.PeerURL})
	if err != nil {
		return nil, err
	}
	var initial []string
	for _, m := range added.Members {
		name := m.Name
		if m.ID == added.Member.ID {
			name = r.Name
		}
		for _, url := range m.PeerURLs {
			initial = append(initial, name+"="+url)
		}
	}
	log.Printf("%s (%s) joins the datastore", r.Name, r.PeerURL)
	return &supervisor.MemberReply{InitialCluster: strings.Join(initial, ",")}, nil
}

func (e *etcd) promote(ctx context.Context, r supervisor.MemberRequest) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Members {
		if slices.Contains(m.PeerURLs, r.PeerURL) {
			if !m.IsLearner {
				return nil
			}
			_, err := client.MemberPromote(ctx, m.ID)
			return err
		}
	}
	return fmt.Errorf("%s is no member of the datastore", r.PeerURL)
}

// removeMember takes a server out of the datastore; one that is not in it is
// no error.
func (e *etcd) removeMember(ctx context.Context, name string) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Members {
		if m.Name == name {
			if _, err := client.MemberRemove(ctx, m.ID); err != nil {
				return err
			}
			log.Printf("%s left the datastore", name)
		}
	}
	return nil
}
