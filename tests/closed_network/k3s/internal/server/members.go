// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"log"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// MemberFinalizer keeps a server's Node until its datastore member is gone,
// under the name that k3s has for it.
const MemberFinalizer = "wrangler.cattle.io/managed-etcd-controller"

// ReleaseMembers takes servers whose Node is deleted out of the datastore, and
// forgets the passwords of nodes that are gone. The servers that stay do that
// for the one that goes.
func (s *Server) ReleaseMembers(ctx context.Context, client kubernetes.Interface) {
	seen := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		there, servers := map[string]bool{}, 0
		for i := range nodes.Items {
			there[nodes.Items[i].Name] = true
			if nodes.Items[i].Labels["node-role.kubernetes.io/etcd"] == "true" {
				servers++
			}
		}
		for name := range seen {
			if !there[name] {
				s.forget(ctx, name)
			}
		}
		seen = there
		for i := range nodes.Items {
			node := &nodes.Items[i]
			if node.DeletionTimestamp == nil || !slices.Contains(node.Finalizers, MemberFinalizer) || (node.Name == s.c.NodeName && servers > 1) {
				continue
			}
			if err := s.release(ctx, client, node); err != nil {
				log.Printf("%s cannot be taken out of the datastore yet: %v", node.Name, err)
			}
		}
	}
}

func (s *Server) release(ctx context.Context, client kubernetes.Interface, node *corev1.Node) error {
	if node.Name != s.c.NodeName {
		if err := s.etcd.removeMember(ctx, node.Name); err != nil {
			return err
		}
	}
	left := slices.DeleteFunc(slices.Clone(node.Finalizers), func(name string) bool { return name == MemberFinalizer })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": left, "resourceVersion": node.ResourceVersion}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
