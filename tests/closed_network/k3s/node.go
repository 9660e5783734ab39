// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientset "k8s.io/client-go/kubernetes"

	"wasinn.cluster/tests/closed_network/k3s/internal/agent"
	"wasinn.cluster/tests/closed_network/k3s/internal/bundle"
	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/proc"
	"wasinn.cluster/tests/closed_network/k3s/internal/server"
)

// stopGrace is what each part gets to end before it is killed.
const stopGrace = 5 * time.Second

type runningNode struct {
	c     *config.Config
	group *proc.Group
	agent *agent.Agent
}

func newNode(c *config.Config) (*runningNode, error) {
	if err := lookup("nft", "mount", "umount"); err != nil {
		return nil, err
	}
	bin, err := bundle.Unpack(c.DataDir)
	if err != nil {
		return nil, err
	}
	group := proc.NewGroup(bin)
	a, err := agent.New(c, group, bin)
	return &runningNode{c: c, group: group, agent: a}, err
}

// run brings everything up and returns once the node is registered.
func (n *runningNode) run(ctx context.Context) error {
	if n.c.Role == config.Server {
		return n.runServer(ctx)
	}
	if err := n.agent.StartBalancer(); err != nil {
		return err
	}
	reply, err := n.agent.Credentials(ctx, "https://"+agent.BalancerAddress, n.agent.Join)
	if err != nil {
		return err
	}
	if err := n.agent.StartContainerd(ctx, reply.Cluster.FlannelBackend != "none"); err != nil {
		return err
	}
	if err := n.agent.Run(ctx, reply.Cluster); err != nil {
		return err
	}
	proc.Notify("READY=1")
	return nil
}

func (n *runningNode) runServer(ctx context.Context) error {
	// containerd needs nothing of the control plane: both start at once.
	containerd := make(chan error, 1)
	go func() { containerd <- n.agent.StartContainerd(ctx, n.c.FlannelBackend != "none") }()
	s, err := server.Start(ctx, n.c, n.group)
	if err != nil {
		return err
	}
	if err := <-containerd; err != nil {
		return err
	}
	reply, err := n.agent.Credentials(ctx, fmt.Sprintf("https://127.0.0.1:%d", n.c.Port), s.Sign)
	if err != nil {
		return err
	}
	if err := n.agent.Run(ctx, reply.Cluster); err != nil {
		return err
	}
	if err := s.Deploy(ctx); err != nil {
		return err
	}
	client, err := clientset.NewForConfig(s.Admin)
	if err != nil {
		return err
	}
	if err := n.markServer(ctx, client); err != nil {
		return err
	}
	go s.ReleaseMembers(ctx, client)
	proc.Notify("READY=1")
	return nil
}

// markServer waits for this server's own node and gives it the labels that a
// kubelet may not give itself, and the finalizer of its datastore member.
func (n *runningNode) markServer(ctx context.Context, client clientset.Interface) error {
	labels := map[string]string{"node-role.kubernetes.io/control-plane": "true"}
	metadata := map[string]any{"labels": labels}
	if len(n.c.Datastore) == 0 {
		labels["node-role.kubernetes.io/etcd"] = "true"
		metadata["finalizers"] = []string{server.MemberFinalizer}
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	for {
		var node *corev1.Node
		node, err = client.CoreV1().Nodes().Patch(ctx, n.c.NodeName, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if err == nil && node.Name != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
