// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package netpol turns NetworkPolicies into nftables rules for the pods of
// one node, as k3s' own controller (kube-router's) does with iptables: traffic
// that is forwarded to or from a pod is judged, the node's own (the kubelet's
// probes) is not.
package netpol

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Cluster is what the rules are made from.
type Cluster struct {
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
}

// Chain is a judged pod's traffic in one direction: what matches none of the
// rules is rejected.
type Chain struct {
	Name  string
	Match string   // of the traffic that is judged here
	Rules []string // of what is let through
}

// direction is what ingress and egress have in common.
type direction struct {
	prefix, own, other string
	kind               networkingv1.PolicyType
}

var (
	ingress = direction{"to", "daddr", "saddr", networkingv1.PolicyTypeIngress}
	egress  = direction{"from", "saddr", "daddr", networkingv1.PolicyTypeEgress}
)

// Chains gives those of the node's pods that a policy selects, sorted by name.
func (c *Cluster) Chains(node string) (chains []Chain) {
	for _, pod := range c.Pods {
		if pod.Spec.NodeName != node || !reachable(pod) {
			continue
		}
		for _, d := range []direction{ingress, egress} {
			if chain, judged := c.chain(pod, d); judged {
				chains = append(chains, chain)
			}
		}
	}
	slices.SortFunc(chains, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
	return chains
}

func (c *Cluster) chain(pod *corev1.Pod, d direction) (Chain, bool) {
	ip := pod.Status.PodIP
	chain := Chain{Name: d.prefix + "-" + strings.ReplaceAll(ip, ".", "-"), Match: fmt.Sprintf("ip %s %s", d.own, ip)}
	judged := false
	for _, policy := range c.Policies {
		if policy.Namespace != pod.Namespace || !slices.Contains(kinds(policy), d.kind) || !selects(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		judged = true
		if d.kind == networkingv1.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				chain.Rules = append(chain.Rules, c.rules(policy.Namespace, d, rule.From, rule.Ports, pod)...)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				chain.Rules = append(chain.Rules, c.rules(policy.Namespace, d, rule.To, rule.Ports, nil)...)
			}
		}
	}
	slices.Sort(chain.Rules)
	chain.Rules = slices.Compact(chain.Rules)
	return chain, judged
}

// kinds are a policy's directions; Egress has to be said, or shown by a rule.
func kinds(policy *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	if len(policy.Spec.PolicyTypes) > 0 {
		return policy.Spec.PolicyTypes
	}
	if len(policy.Spec.Egress) > 0 {
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	}
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
}

// rules are every combination of a rule's peers and ports. A port's name is
// looked up in the pod that is reached: target, or the peer where that is nil.
func (c *Cluster) rules(namespace string, d direction, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, target *corev1.Pod) (rules []string) {
	if len(peers) == 0 {
		return combine("", matchPorts(ports, target))
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			match := fmt.Sprintf("ip %s %s", d.other, peer.IPBlock.CIDR)
			if len(peer.IPBlock.Except) > 0 {
				match += fmt.Sprintf(" ip %s != { %s }", d.other, strings.Join(peer.IPBlock.Except, ", "))
			}
			rules = append(rules, combine(match, matchPorts(ports, target))...)
			continue
		}
		for _, pod := range c.Pods {
			if reachable(pod) && c.isPeer(namespace, peer, pod) {
				reached := target
				if reached == nil {
					reached = pod
				}
				rules = append(rules, combine(fmt.Sprintf("ip %s %s", d.other, pod.Status.PodIP), matchPorts(ports, reached))...)
			}
		}
	}
	return rules
}

func (c *Cluster) isPeer(namespace string, peer networkingv1.NetworkPolicyPeer, pod *corev1.Pod) bool {
	if peer.PodSelector != nil && !selects(peer.PodSelector, pod.Labels) {
		return false
	}
	if peer.NamespaceSelector == nil {
		return pod.Namespace == namespace
	}
	return slices.ContainsFunc(c.Namespaces, func(n *corev1.Namespace) bool {
		return n.Name == pod.Namespace && selects(peer.NamespaceSelector, n.Labels)
	})
}

// matchPorts gives a match for each port, one empty match where all are meant.
func matchPorts(ports []networkingv1.NetworkPolicyPort, pod *corev1.Pod) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var matches []string
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case port.Port == nil:
			matches = append(matches, "meta l4proto "+protocol)
		case port.Port.Type == intstr.Int && port.EndPort != nil:
			matches = append(matches, fmt.Sprintf("%s dport %d-%d", protocol, port.Port.IntVal, *port.EndPort))
		case port.Port.Type == intstr.Int:
			matches = append(matches, fmt.Sprintf("%s dport %d", protocol, port.Port.IntVal))
		case pod != nil:
			for _, container := range pod.Spec.Containers {
				for _, named := range container.Ports {
					if named.Name == port.Port.StrVal {
						matches = append(matches, fmt.Sprintf("%s dport %d", protocol, named.ContainerPort))
					}
				}
			}
		}
	}
	return matches
}

func combine(peer string, ports []string) (rules []string) {
	for _, port := range ports {
		rules = append(rules, strings.TrimSpace(peer+" "+port))
	}
	return rules
}

// reachable pods have an address of their own and have not ended.
func reachable(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !ended
}

func selects(selector *metav1.LabelSelector, set map[string]string) bool {
	match, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && match.Matches(labels.Set(set))
}
