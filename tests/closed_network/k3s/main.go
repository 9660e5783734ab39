// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Command k3s is the closed-network stand-in for k3s: upstream's Kubernetes
// components behind k3s' command line, files and units. It lives under tests
// and is never shipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"wasinn.cluster/tests/closed_network/k3s/internal/agent"
	"wasinn.cluster/tests/closed_network/k3s/internal/bundle"
	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/crictl"
	"wasinn.cluster/tests/closed_network/k3s/internal/server"
)

// Set by the builder.
var (
	version    = "v0.0.0+k3s1"
	kubernetes = "v0.0.0"
)

const usage = `k3s server|agent [--name=value ...]   run a node
k3s kubectl|crictl|ctr ...            use one
k3s etcd-snapshot save|prune          keep the datastore
k3s token rotate, certificate rotate  make new ones
k3s --version
`

func main() {
	name := filepath.Base(os.Args[0])
	if run, ok := components[name]; ok {
		run()
		return
	}
	args := os.Args[1:]
	switch name {
	case "kubectl", "crictl", "ctr":
	default:
		if len(args) == 0 {
			fmt.Fprint(os.Stderr, usage)
			os.Exit(1)
		}
		name, args = args[0], args[1:]
	}
	log.SetFlags(0)
	log.SetPrefix("k3s: ")
	switch name {
	case "--version", "-v", "version":
		fmt.Printf("k3s version %s (closed-network stand-in of wasinn.cluster's tests: upstream Kubernetes %s; not k3s)\n", version, kubernetes)
	case "--help", "-h", "help":
		fmt.Print(usage)
	case config.Server, config.Agent:
		if err := node(name, args); err != nil {
			log.Fatalf("error: %v", err)
		}
	case "kubectl":
		os.Args = append([]string{"kubectl"}, args...)
		if _, set := os.LookupEnv("KUBECONFIG"); !set {
			if _, err := os.Stat("/etc/rancher/k3s/k3s.yaml"); err == nil {
				os.Setenv("KUBECONFIG", "/etc/rancher/k3s/k3s.yaml")
			}
		}
		kubectlMain()
	case "crictl":
		if err := crictl.Main(agent.Socket, args); err != nil {
			log.Fatalf("error: %v", err)
		}
	case "ctr":
		if err := ctr(args); err != nil {
			log.Fatalf("error: %v", err)
		}
	case "etcd-snapshot", "token", "certificate":
		run := map[string]func([]string) error{"etcd-snapshot": etcdSnapshot, "token": rotateToken, "certificate": rotateCertificates}[name]
		if err := run(args); err != nil {
			log.Fatalf("error: %v", err)
		}
	default:
		log.Fatalf("error: this stand-in for k3s has no command %q: it has server, agent, kubectl, crictl, ctr, etcd-snapshot, token and certificate", name)
	}
}

// ctr becomes containerd's own client, on k3s' socket and namespace.
func ctr(args []string) error {
	dataDir := os.Getenv("K3S_DATA_DIR")
	if dataDir == "" {
		dataDir = "/var/lib/rancher/k3s"
	}
	bin, err := bundle.Unpack(dataDir)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"CONTAINERD_ADDRESS": agent.Socket, "CONTAINERD_NAMESPACE": "k8s.io"} {
		if os.Getenv(name) == "" {
			os.Setenv(name, value)
		}
	}
	path := filepath.Join(bin, "ctr")
	return syscall.Exec(path, append([]string{"ctr"}, args...), os.Environ())
}

// node runs until a signal or until one of its parts fails.
func node(role string, args []string) error {
	c, warnings, err := config.Load(role, args)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		log.Print(warning)
	}
	log.Printf("%s %s, stand-in on upstream Kubernetes %s, node %s (%s)", role, version, kubernetes, c.NodeName, c.NodeIP())
	signals, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancelCause(signals)
	defer cancel(nil)
	if c.ClusterReset {
		return server.Reset(c)
	}
	n, err := newNode(c)
	if err != nil {
		return err
	}
	go func() { cancel(<-n.group.Failed()) }()
	err = n.run(ctx)
	if err == nil {
		<-ctx.Done()
	}
	if signals.Err() != nil {
		log.Print("stopping")
		err = nil
	} else if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	n.group.Stop(stopGrace)
	return err
}

// lookup finds programs of the machine that have to be there.
func lookup(names ...string) error {
	var missing []string
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("this stand-in for k3s needs the programs %s, which are not on PATH: install nftables, mount and util-linux", strings.Join(missing, ", "))
	}
	return nil
}
