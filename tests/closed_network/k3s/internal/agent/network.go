// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/knftables"

	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
)

// routeProtocol marks our routes ("proto 100"), so that they can be found again.
const routeProtocol = 100

// table holds our nftables rule.
const table = "k3s-pod-network"

// startNetwork is the stand-in for flannel's host-gw: pods hang on routed
// veth pairs (CNI's ptp: no bridge, hence no br_netfilter), and every node
// has a route to each other node's pod range by that node's address.
func (a *Agent) startNetwork(ctx context.Context, client kubernetes.Interface, cluster supervisor.Cluster) error {
	if err := masquerade(ctx, cluster.ClusterCIDR); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, time.Minute)
	nodes := factory.Core().V1().Nodes()
	sync := func() {
		list := nodes.Informer().GetStore().List()
		for _, item := range list {
			node := item.(*corev1.Node)
			if node.Spec.PodCIDR == "" {
				continue
			}
			if node.Name == a.c.NodeName {
				if err := a.writeCNI(node.Spec.PodCIDR); err != nil {
					log.Printf("the pod network cannot be configured: %v", err)
				}
			} else if err := route(node); err != nil {
				log.Printf("no route to the pods of %s: %v", node.Name, err)
			}
		}
	}
	_, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { sync() },
		UpdateFunc: func(any, any) { sync() },
		DeleteFunc: func(object any) {
			if node, ok := object.(*corev1.Node); ok && node.Name != a.c.NodeName {
				unroute(node)
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return nil
}

func (a *Agent) writeCNI(podCIDR string) error {
	data, err := json.MarshalIndent(map[string]any{
		"name": "cbr0", "cniVersion": "1.0.0",
		"plugins": []any{
			map[string]any{"type": "ptp", "ipMasq": false, "ipam": map[string]any{
				"type": "host-local", "dataDir": "/var/lib/cni/networks",
				"ranges": []any{[]any{map[string]any{"subnet": podCIDR}}}, "routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
			}},
			map[string]any{"type": "portmap", "backend": "nftables", "capabilities": map[string]any{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(cniDir(a.c), "10-flannel.conflist"), append(data, '\n'))
}

func podRoute(node *corev1.Node) (*netlink.Route, error) {
	_, pods, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return nil, err
	}
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			return &netlink.Route{Dst: pods, Gw: net.ParseIP(address.Address), Protocol: routeProtocol}, nil
		}
	}
	return nil, fmt.Errorf("it has no internal address")
}

func route(node *corev1.Node) error {
	wanted, err := podRoute(node)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(wanted)
}

func unroute(node *corev1.Node) {
	if gone, err := podRoute(node); err == nil {
		_ = netlink.RouteDel(gone)
	}
}

// masquerade lets pods speak to the world in the node's name.
func masquerade(ctx context.Context, clusterCIDR string) error {
	nft, err := knftables.New(knftables.IPv4Family, table)
	if err != nil {
		return fmt.Errorf("nftables cannot be used: %w", err)
	}
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Add(&knftables.Chain{Name: "postrouting", Type: knftables.PtrTo(knftables.NATType), Hook: knftables.PtrTo(knftables.PostroutingHook), Priority: knftables.PtrTo(knftables.SNATPriority)})
	tx.Flush(&knftables.Chain{Name: "postrouting"})
	tx.Add(&knftables.Rule{Chain: "postrouting", Rule: knftables.Concat("ip saddr", clusterCIDR, "ip daddr !=", clusterCIDR, "ip daddr != 224.0.0.0/4", "masquerade")})
	return nft.Run(ctx, tx)
}
