// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package agent runs what every node has: containerd, kubelet, kube-proxy and
// the pod network.
package agent

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/kubeconfig"
	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/proc"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
	"wasinn.cluster/tests/closed_network/k3s/internal/token"
)

// Issuer gives a node its certificates: the server in this process, or one
// reached with the token.
type Issuer func(context.Context, supervisor.NodeRequest) (*supervisor.NodeReply, error)

// Agent is a node's running half.
type Agent struct {
	c   *config.Config
	g   *proc.Group
	bin string
	dir string // <data-dir>/agent
}

// New prepares the machine.
func New(c *config.Config, g *proc.Group, bin string) (*Agent, error) {
	return &Agent{c: c, g: g, bin: bin, dir: filepath.Join(c.DataDir, "agent")}, prepareMachine(len(c.NodeIPs) > 1, c.ProtectKernel)
}

// StartContainerd runs containerd and imports the images that lie ready.
func (a *Agent) StartContainerd(ctx context.Context, ownNetwork bool) error {
	file, err := writeContainerdConfig(a.c, a.bin, ownNetwork)
	if err != nil {
		return err
	}
	if err := startContainerd(ctx, a.c, a.g, a.bin, file); err != nil {
		return err
	}
	return importImages(a.c, a.g, a.bin)
}

// Join asks the configured server for this node's certificates.
func (a *Agent) Join(ctx context.Context, request supervisor.NodeRequest) (*supervisor.NodeReply, error) {
	t, err := token.Parse(a.c.Token, "node")
	if err != nil {
		return nil, err
	}
	if t.CAHash == "" {
		log.Print("the token holds no CA hash, so the server's CA is trusted as found: use the full token of its node-token file to have it checked")
	}
	var reply supervisor.NodeReply
	servers := append([]string{a.c.Server}, loadServers(a.serversFile())...)
	say := func(err error) { log.Printf("waiting for a server: %v", err) }
	attempt := 0
	return &reply, supervisor.Retry(ctx, say, func() error {
		server := servers[attempt%len(servers)]
		attempt++
		client, err := supervisor.Dial(ctx, server, t)
		if err != nil {
			return err
		}
		return client.Call(ctx, supervisor.PathNode, request, &reply)
	})
}

// Credentials gets this node's certificates from issue and writes them and
// the kubeconfigs, which point at server.
func (a *Agent) Credentials(ctx context.Context, server string, issue Issuer) (*supervisor.NodeReply, error) {
	file := func(name string) string { return filepath.Join(a.dir, name) }
	request := supervisor.NodeRequest{Name: a.c.NodeName, Addresses: slices.Clone(a.c.NodeIPs)}
	if a.c.NodeExternalIP != "" {
		request.Addresses = append(request.Addresses, a.c.NodeExternalIP)
	}
	var err error
	for name, target := range map[string]*[]byte{"client-kubelet": &request.ClientCSR, "serving-kubelet": &request.ServingCSR, "client-kube-proxy": &request.ProxyCSR} {
		if *target, err = pki.Request(file(name + ".key")); err != nil {
			return nil, err
		}
	}
	if request.Password, err = password(); err != nil {
		return nil, err
	}
	reply, err := issue(ctx, request)
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{
		"client-kubelet.crt": reply.ClientCert, "serving-kubelet.crt": reply.ServingCert, "client-kube-proxy.crt": reply.ProxyCert,
		"client-ca.crt": reply.ClientCA, "server-ca.crt": reply.ServerCA,
	} {
		if err := pki.WriteFile(file(name), data, 0o644); err != nil {
			return nil, err
		}
	}
	for name, base := range map[string]string{"kubelet": "client-kubelet", "kubeproxy": "client-kube-proxy"} {
		if err := kubeconfig.Write(file(name+".kubeconfig"), 0o600, server, file("server-ca.crt"), file(base+".crt"), file(base+".key")); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// Run starts kubelet, kube-proxy and the pod network.
func (a *Agent) Run(ctx context.Context, cluster supervisor.Cluster) error {
	if err := a.startKubelet(cluster); err != nil {
		return err
	}
	err := a.g.Self("kube-proxy", append([]string{
		"--kubeconfig=" + filepath.Join(a.dir, "kubeproxy.kubeconfig"), "--hostname-override=" + a.c.NodeName, "--cluster-cidr=" + cluster.ClusterCIDR,
		"--proxy-mode=nftables", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
		"--healthz-bind-address=127.0.0.1",
	}, arguments(a.c.ProxyArgs)...)...)
	if err != nil {
		return err
	}
	client, err := a.Client()
	if err != nil {
		return err
	}
	if a.c.Role == config.Agent {
		go a.watchServers(ctx, client)
	}
	if cluster.FlannelBackend == "none" {
		return nil
	}
	if err := a.startNetwork(ctx, client, cluster); err != nil {
		return err
	}
	return a.enforcePolicies(ctx, client)
}

// Client may read nodes, services, endpoints, pods and policies, in kube-proxy's name.
func (a *Agent) Client() (*kubernetes.Clientset, error) {
	settings, err := clientcmd.BuildConfigFromFlags("", filepath.Join(a.dir, "kubeproxy.kubeconfig"))
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(settings)
}

// arguments turns k3s' key=value into --key=value.
func arguments(list []string) []string {
	out := make([]string, len(list))
	for i, argument := range list {
		out[i] = "--" + strings.TrimLeft(argument, "-")
	}
	return out
}

func cniDir(c *config.Config) string {
	return filepath.Join(c.DataDir, "agent", "etc", "cni", "net.d")
}

func writeJSON(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return pki.WriteFile(path, data, 0o600)
}
