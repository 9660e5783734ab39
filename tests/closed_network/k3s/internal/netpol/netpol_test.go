// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package netpol

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func pod(namespace, name, ip, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip},
	}
}

func policy(t *testing.T, text string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a"}}
	if err := yaml.UnmarshalStrict([]byte(text), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestChains(t *testing.T) {
	for name, test := range map[string]struct {
		policy string
		want   []Chain
	}{
		"a pod of the same namespace, a port by its name": {
			`{podSelector: {matchLabels: {app: model}}, ingress: [{from: [{podSelector: {matchLabels: {app: balancer}}}], ports: [{port: http}]}]}`,
			[]Chain{{"to-10-0-0-1", "ip daddr 10.0.0.1", []string{"ip saddr 10.0.0.2 tcp dport 8080"}}},
		},
		"nothing out": {
			`{podSelector: {matchLabels: {app: model}}, policyTypes: [Egress]}`,
			[]Chain{{"from-10-0-0-1", "ip saddr 10.0.0.1", nil}},
		},
		"another namespace by its label, and an address range": {
			`{podSelector: {matchLabels: {app: model}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}, {ipBlock: {cidr: 10.9.0.0/16, except: [10.9.1.0/24]}}], ports: [{port: 80, endPort: 90}]}]}`,
			[]Chain{{"to-10-0-0-1", "ip daddr 10.0.0.1", []string{"ip saddr 10.0.1.1 tcp dport 80-90", "ip saddr 10.9.0.0/16 ip saddr != { 10.9.1.0/24 } tcp dport 80-90"}}},
		},
		"anybody at one port": {
			`{podSelector: {}, ingress: [{ports: [{port: 53, protocol: UDP}]}]}`,
			[]Chain{{"to-10-0-0-1", "ip daddr 10.0.0.1", []string{"udp dport 53"}}},
		},
		"out to a port by the name that the other pod gives it": {
			`{podSelector: {matchLabels: {app: model}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: balancer}}}], ports: [{port: http}]}]}`,
			[]Chain{{"from-10-0-0-1", "ip saddr 10.0.0.1", []string{"ip daddr 10.0.0.2 tcp dport 8080"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Cluster{
				Pods:       []*corev1.Pod{pod("a", "model", "10.0.0.1", "here"), pod("a", "balancer", "10.0.0.2", "there"), pod("b", "guest", "10.0.1.1", "there")},
				Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {ObjectMeta: metav1.ObjectMeta{Name: "b", Labels: map[string]string{"team": "b"}}}},
				Policies:   []*networkingv1.NetworkPolicy{policy(t, test.policy)},
			}
			got := c.Chains("here")
			if !slices.EqualFunc(got, test.want, func(a, b Chain) bool {
				return a.Name == b.Name && a.Match == b.Match && slices.Equal(a.Rules, b.Rules)
			}) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
