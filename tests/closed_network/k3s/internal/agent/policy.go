// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/knftables"

	"wasinn.cluster/tests/closed_network/k3s/internal/netpol"
)

// policyTable holds the rules of policies and nothing else.
const policyTable = "k3s-network-policies"

// settle is how long changes are gathered before the rules are written.
const settle = 100 * time.Millisecond

// enforcePolicies keeps NetworkPolicies for this node's pods until ctx ends.
// kube-proxy's name, in which client speaks, may read pods and policies by
// the server's manifest.
func (a *Agent) enforcePolicies(ctx context.Context, client kubernetes.Interface) error {
	nft, err := knftables.New(knftables.IPv4Family, policyTable)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces, policies := factory.Core().V1().Pods(), factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	tell := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: tell, UpdateFunc: func(any, any) { tell(nil) }, DeleteFunc: tell}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	go func() {
		factory.WaitForCacheSync(ctx.Done())
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			time.Sleep(settle)
			cluster := netpol.Cluster{}
			cluster.Pods, _ = pods.Lister().List(labels.Everything())
			cluster.Namespaces, _ = namespaces.Lister().List(labels.Everything())
			cluster.Policies, _ = policies.Lister().List(labels.Everything())
			if err := nft.Run(ctx, policyRules(nft, cluster.Chains(a.c.NodeName))); err != nil {
				log.Printf("the network policies cannot be written: %v", err)
				tell(nil)
			}
		}
	}()
	return nil
}

// policyRules replaces the whole table at once: the hook jumps by pod to a
// chain whose end rejects.
func policyRules(nft knftables.Interface, chains []netpol.Chain) *knftables.Transaction {
	tx := nft.NewTransaction()
	hook := &knftables.Chain{Name: "forward", Type: knftables.PtrTo(knftables.FilterType), Hook: knftables.PtrTo(knftables.ForwardHook), Priority: knftables.PtrTo(knftables.FilterPriority)}
	tx.Add(&knftables.Table{}) // so that there is one to delete
	tx.Delete(&knftables.Table{})
	tx.Add(&knftables.Table{})
	tx.Add(hook)
	tx.Add(&knftables.Rule{Chain: hook.Name, Rule: "ct state established,related accept"})
	for _, chain := range chains {
		tx.Add(&knftables.Chain{Name: chain.Name})
		for _, rule := range chain.Rules {
			tx.Add(&knftables.Rule{Chain: chain.Name, Rule: knftables.Concat(rule, "return")})
		}
		tx.Add(&knftables.Rule{Chain: chain.Name, Rule: "reject"})
		tx.Add(&knftables.Rule{Chain: hook.Name, Rule: knftables.Concat(chain.Match, "jump", chain.Name)})
	}
	return tx
}
