// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package server runs k3s' server: datastore, API server, controllers,
// scheduler, the supervisor's HTTPS port, and the manifests.
package server

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/kubeconfig"
	"wasinn.cluster/tests/closed_network/k3s/internal/proc"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
)

// Server is a running control plane.
type Server struct {
	c     *config.Config
	s     *state
	etcd  *etcd
	Admin *rest.Config
	passwords
}

// Start brings the control plane up and returns once its API is ready.
func Start(ctx context.Context, c *config.Config, g *proc.Group) (*Server, error) {
	if err := startKine(c, g); err != nil {
		return nil, err
	}
	s, err := prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	e := newEtcd(c, s)
	if err := e.start(ctx, g); err != nil {
		return nil, err
	}
	if err := e.confirm(ctx); err != nil {
		return nil, err
	}
	_ = os.Remove(resetFlag(s.dir))
	if err := writeKubeconfigs(c, s); err != nil {
		return nil, err
	}
	server := &Server{c: c, s: s, etcd: e}
	if server.Admin, err = clientcmd.BuildConfigFromFlags("", filepath.Join(s.dir, "cred", "supervisor.kubeconfig")); err != nil {
		return nil, err
	}
	server.Admin.QPS, server.Admin.Burst = 50, 100
	client, err := kubernetes.NewForConfig(server.Admin)
	if err != nil {
		return nil, err
	}
	server.passwords = passwords{client}
	if err := startFront(c, s, e, server.passwords); err != nil {
		return nil, err
	}
	if err := g.Self("kube-apiserver", apiServerArgs(c, s, e)...); err != nil {
		return nil, err
	}
	if err := server.waitReady(ctx, client); err != nil {
		return nil, err
	}
	if err := g.Self("kube-controller-manager", controllerArgs(c, s)...); err != nil {
		return nil, err
	}
	if err := g.Self("kube-scheduler", schedulerArgs(c, s)...); err != nil {
		return nil, err
	}
	log.Print("the API server is ready")
	if !e.external() {
		return server, schedule(ctx, c)
	}
	return server, nil
}

// Sign gives the certificates of this server's own node.
func (s *Server) Sign(ctx context.Context, r supervisor.NodeRequest) (*supervisor.NodeReply, error) {
	// A server is not kept from its own name: it may have come back on another machine.
	if err := s.check(ctx, r.Name, r.Password); err != nil {
		log.Printf("this server's own node: %v", err)
	}
	return s.s.sign(r)
}

func (s *Server) waitReady(ctx context.Context, client kubernetes.Interface) error {
	said := time.Now()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(said) > 15*time.Second {
			said = time.Now()
			log.Printf("waiting for the API server: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func writeKubeconfigs(c *config.Config, s *state) error {
	local := fmt.Sprintf("https://127.0.0.1:%d", c.Port)
	ca := filepath.Join(s.tls, "server-ca.crt")
	for name, leaf := range map[string]string{"admin": "client-admin", "supervisor": "client-supervisor", "controller": "client-controller", "scheduler": "client-scheduler"} {
		base := filepath.Join(s.tls, leaf)
		path := filepath.Join(s.dir, "cred", name+".kubeconfig")
		if err := kubeconfig.Write(path, 0o600, local, ca, base+".crt", base+".key"); err != nil {
			return err
		}
	}
	base := filepath.Join(s.tls, "client-admin")
	return kubeconfig.WriteEmbedded(c.WriteKubeconfig, c.KubeconfigMode, local, ca, base+".crt", base+".key")
}

// flags turns k3s' key=value into --key=value.
func flags(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = "--" + strings.TrimLeft(arg, "-")
	}
	return out
}

func apiServerArgs(c *config.Config, s *state, e *etcd) []string {
	file := func(name string) string { return filepath.Join(s.tls, name) }
	more := append(e.flags(), flags(c.APIServerArgs)...)
	if c.EncryptSecrets {
		more = append([]string{"--encryption-provider-config=" + encryptionFile(s.dir)}, more...)
	}
	return append([]string{
		"--advertise-address=" + c.NodeIP(), "--bind-address=" + apiHost, fmt.Sprintf("--secure-port=%d", c.Port), "--permit-port-sharing=true",
		"--allow-privileged=true", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--anonymous-auth=true", "--profiling=false",
		"--service-cluster-ip-range=" + c.ServiceCIDR, "--service-node-port-range=30000-32767",
		"--tls-cert-file=" + file("serving-internal.crt"), "--tls-private-key-file=" + file("serving-internal.key"), "--client-ca-file=" + file("client-ca.crt"),
		"--kubelet-client-certificate=" + file("client-kube-apiserver.crt"), "--kubelet-client-key=" + file("client-kube-apiserver.key"),
		"--kubelet-certificate-authority=" + file("server-ca.crt"), "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--requestheader-client-ca-file=" + file("request-header-ca.crt"), "--requestheader-allowed-names=system:auth-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + file("client-auth-proxy.crt"), "--proxy-client-key-file=" + file("client-auth-proxy.key"),
		"--service-account-issuer=https://kubernetes.default.svc." + c.ClusterDomain, "--service-account-key-file=" + file(serviceKey), "--service-account-signing-key-file=" + file(serviceKey),
		"--api-audiences=https://kubernetes.default.svc." + c.ClusterDomain + ",k3s",
	}, more...)
}

func controllerArgs(c *config.Config, s *state) []string {
	file := func(name string) string { return filepath.Join(s.tls, name) }
	credentials := filepath.Join(s.dir, "cred", "controller.kubeconfig")
	return append([]string{
		"--bind-address=127.0.0.1", "--profiling=false", "--use-service-account-credentials=true", "--controllers=*,tokencleaner",
		"--kubeconfig=" + credentials, "--authentication-kubeconfig=" + credentials, "--authorization-kubeconfig=" + credentials,
		"--allocate-node-cidrs=true", "--cluster-cidr=" + c.ClusterCIDR, "--service-cluster-ip-range=" + c.ServiceCIDR, "--configure-cloud-routes=false",
		"--root-ca-file=" + file("server-ca.crt"), "--service-account-private-key-file=" + file(serviceKey),
		"--cluster-signing-cert-file=" + file("client-ca.crt"), "--cluster-signing-key-file=" + file("client-ca.key"),
	}, flags(c.ControllerArgs)...)
}

func schedulerArgs(c *config.Config, s *state) []string {
	credentials := filepath.Join(s.dir, "cred", "scheduler.kubeconfig")
	return append([]string{
		"--bind-address=127.0.0.1", "--profiling=false",
		"--kubeconfig=" + credentials, "--authentication-kubeconfig=" + credentials, "--authorization-kubeconfig=" + credentials,
	}, flags(c.SchedulerArgs)...)
}
