// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubelet "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
)

// startKubelet writes its configuration and starts it.
func (a *Agent) startKubelet(cluster supervisor.Cluster) error {
	etc := filepath.Join(a.dir, "etc")
	resolver, err := resolvConf(etc)
	if err != nil {
		return err
	}
	driver, no, zero := "cgroupfs", false, int32(0)
	if systemdCgroup() {
		driver = "systemd"
	}
	settings := kubelet.KubeletConfiguration{
		TypeMeta:                 metav1.TypeMeta{APIVersion: kubelet.SchemeGroupVersion.String(), Kind: "KubeletConfiguration"},
		TLSCertFile:              filepath.Join(a.dir, "serving-kubelet.crt"),
		TLSPrivateKeyFile:        filepath.Join(a.dir, "serving-kubelet.key"),
		Authentication:           kubelet.KubeletAuthentication{X509: kubelet.KubeletX509Authentication{ClientCAFile: filepath.Join(a.dir, "client-ca.crt")}, Anonymous: kubelet.KubeletAnonymousAuthentication{Enabled: &no}},
		ClusterDNS:               []string{cluster.ClusterDNS},
		ClusterDomain:            cluster.ClusterDomain,
		ContainerRuntimeEndpoint: "unix://" + Socket,
		CgroupDriver:             driver,
		FailCgroupV1:             &no, // node containers on a cgroup v1 host
		FailSwapOn:               &no,
		ProtectKernelDefaults:    a.c.ProtectKernel,
		ResolverConfig:           &resolver,
		StaticPodPath:            filepath.Join(a.dir, "pod-manifests"),
		EvictionHard:             map[string]string{"imagefs.available": "5%", "nodefs.available": "5%"},
		EvictionMinimumReclaim:   map[string]string{"imagefs.available": "10%", "nodefs.available": "10%"},
		SyncFrequency:            metav1.Duration{Duration: 30 * time.Second},
	}
	if !may(capSysResource) {
		settings.OOMScoreAdj = &zero
	}
	data, err := yaml.Marshal(settings)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(settings.StaticPodPath, 0o700); err != nil {
		return err
	}
	path := filepath.Join(etc, "kubelet.yaml")
	if err := pki.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	// k3s marks its servers so, and names its nodes' instance type.
	labels := append([]string{"node.kubernetes.io/instance-type=k3s"}, a.c.NodeLabels...)
	args := []string{
		"--config=" + path, "--kubeconfig=" + filepath.Join(a.dir, "kubelet.kubeconfig"), "--hostname-override=" + a.c.NodeName,
		"--node-ip=" + strings.Join(a.c.NodeIPs, ","), "--node-labels=" + strings.Join(labels, ","),
	}
	if len(a.c.NodeTaints) > 0 {
		args = append(args, "--register-with-taints="+strings.Join(a.c.NodeTaints, ","))
	}
	return a.g.Self("kubelet", append(args, arguments(a.c.KubeletArgs)...)...)
}
