// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/knftables"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
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
	for _, cidr := range config.Ranges(cluster.ClusterCIDR) {
		if err := masquerade(ctx, cidr); err != nil {
			return err
		}
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
				if err := a.writeCNI(node.Spec.PodCIDRs); err != nil {
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

func (a *Agent) writeCNI(podCIDRs []string) error {
	var ranges, routes []any
	for _, cidr := range podCIDRs {
		ranges = append(ranges, []any{map[string]any{"subnet": cidr}})
		routes = append(routes, map[string]any{"dst": everywhere[isIPv6(cidr)]})
	}
	data, err := json.MarshalIndent(map[string]any{
		"name": "cbr0", "cniVersion": "1.0.0",
		"plugins": []any{
			map[string]any{"type": "ptp", "ipMasq": false, "ipam": map[string]any{
				"type": "host-local", "dataDir": "/var/lib/cni/networks",
				"ranges": ranges, "routes": routes,
			}},
			map[string]any{"type": "portmap", "backend": "nftables", "capabilities": map[string]any{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(cniDir(a.c), "10-flannel.conflist"), append(data, '\n'))
}

var everywhere = map[bool]string{false: "0.0.0.0/0", true: "::/0"}

func isIPv6(address string) bool { return strings.Contains(address, ":") }

// podRoutes are those to a node's pods, by its address of the same IP version.
func podRoutes(node *corev1.Node) (routes []*netlink.Route, err error) {
	for _, cidr := range node.Spec.PodCIDRs {
		_, pods, err := net.ParseCIDR(cidr)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(node.Status.Addresses, func(address corev1.NodeAddress) bool {
			return address.Type == corev1.NodeInternalIP && isIPv6(address.Address) == isIPv6(cidr)
		})
		if at < 0 {
			return nil, fmt.Errorf("it has no internal address for %s", cidr)
		}
		routes = append(routes, &netlink.Route{Dst: pods, Gw: net.ParseIP(node.Status.Addresses[at].Address), Protocol: routeProtocol})
	}
	return routes, nil
}

func route(node *corev1.Node) error {
	wanted, err := podRoutes(node)
	for _, each := range wanted {
		err = errors.Join(err, netlink.RouteReplace(each))
	}
	return err
}

func unroute(node *corev1.Node) {
	gone, _ := podRoutes(node)
	for _, each := range gone {
		_ = netlink.RouteDel(each)
	}
}

// masquerade lets pods speak to the world in the node's name.
func masquerade(ctx context.Context, clusterCIDR string) error {
	family, ip, multicast := knftables.IPv4Family, "ip", "224.0.0.0/4"
	if isIPv6(clusterCIDR) {
		family, ip, multicast = knftables.IPv6Family, "ip6", "ff00::/8"
	}
	nft, err := knftables.New(family, table)
	if err != nil {
		return fmt.Errorf("nftables cannot be used: %w", err)
	}
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Add(&knftables.Chain{Name: "postrouting", Type: knftables.PtrTo(knftables.NATType), Hook: knftables.PtrTo(knftables.PostroutingHook), Priority: knftables.PtrTo(knftables.SNATPriority)})
	tx.Flush(&knftables.Chain{Name: "postrouting"})
	tx.Add(&knftables.Rule{Chain: "postrouting", Rule: knftables.Concat(ip, "saddr", clusterCIDR, ip, "daddr !=", clusterCIDR, ip, "daddr !=", multicast, "masquerade")})
	return nft.Run(ctx, tx)
}
