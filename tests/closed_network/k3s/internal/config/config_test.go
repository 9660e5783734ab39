// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.yaml")
}

func TestLaterFilesWinAndPlusAppends(t *testing.T) {
	file := write(t, map[string]string{
		"config.yaml":                  "token: one\nnode-ip: 10.0.0.1\nnode-label: [a=1]\nkubelet-arg: [v=1]\nwrite-kubeconfig-mode: \"0640\"\n",
		"config.yaml.d/10-first.yaml":  "token: two\nnode-label+: [b=2]\nkubelet-arg: [v=2]\n",
		"config.yaml.d/20-second.yml":  "cluster-init: true\nnot-a-key: 1\n",
		"config.yaml.d/30-ignored.txt": "token: three\n",
	})
	c, warnings, err := Load(Server, []string{"--config", file, "--node-label=c=3", "--node-name", "N1"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Token != "two" || !c.ClusterInit || c.NodeName != "n1" || c.KubeconfigMode != 0o640 {
		t.Errorf("got %+v", c)
	}
	if !slices.Equal(c.NodeLabels, []string{"a=1", "b=2", "c=3"}) || !slices.Equal(c.KubeletArgs, []string{"v=2"}) {
		t.Errorf("got labels %v, kubelet arguments %v", c.NodeLabels, c.KubeletArgs)
	}
	if len(warnings) != 1 || warnings[0] != "Unknown flag --not-a-key found in 20-second.yml, skipping" {
		t.Errorf("got warnings %v", warnings)
	}
}

func TestAgentSkipsServerSettings(t *testing.T) {
	file := write(t, map[string]string{"config.yaml": "server: https://10.0.0.1:6443/\ntoken: x\nnode-ip: 10.0.0.2\ncluster-cidr: 10.9.0.0/16\n"})
	c, warnings, err := Load(Agent, []string{"--config=" + file})
	if err != nil || len(warnings) != 1 || c.ClusterCIDR != "10.42.0.0/16" || c.Server != "https://10.0.0.1:6443" {
		t.Errorf("got %+v, %v, %v", c, warnings, err)
	}
}

func TestSentences(t *testing.T) {
	empty := write(t, map[string]string{"config.yaml": ""})
	for _, test := range []struct {
		role string
		args []string
		want string
	}{
		{Agent, nil, "--server is required"},
		{Agent, []string{"--server=https://a:6443"}, "--token is required"},
		{Server, []string{"--server=a:6443", "--token=x"}, "is not an https URL"},
		{Server, []string{"--nonsense"}, "flag provided but not defined: -nonsense"},
		{Server, []string{"--token"}, "flag needs an argument: -token"},
		{Server, []string{"--cluster-cidr=10"}, "is no address range"},
		{Server, []string{"--flannel-backend=vxlan"}, "use host-gw or none"},
		{Server, []string{"--write-kubeconfig-mode=rw"}, "octal file mode"},
		{Server, []string{"--https-listen-port=0"}, "not a port number"},
	} {
		_, _, err := Load(test.role, append([]string{"--config", empty, "--node-ip=10.0.0.1"}, test.args...))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %v: got %v, want %q", test.role, test.args, err, test.want)
		}
	}
}

func TestTokensComeFromFiles(t *testing.T) {
	file := write(t, map[string]string{"servers": "one\n", "agents": "two\n"})
	dir := filepath.Dir(file)
	text := "token-file: " + dir + "/servers\nagent-token-file: " + dir + "/agents\nservice-cidr: 10.53.0.0/16\nnode-ip: 10.0.0.1\nsecrets-encryption: true\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := Load(Server, []string{"--config", file})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if c.Token != "one" || c.AgentToken != "two" || !c.EncryptSecrets || c.ClusterDNS != "10.53.0.10" {
		t.Errorf("got %+v", c)
	}
}

func TestDatastoresAreKnownByTheirScheme(t *testing.T) {
	file := write(t, map[string]string{"config.yaml": "datastore-endpoint: nats://k3s:secret@db\nnode-ip: 10.0.0.1\n"})
	_, _, err := Load(Server, []string{"--config", file})
	if err == nil || !strings.Contains(err.Error(), "datastore-endpoint") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	file = write(t, map[string]string{"config.yaml": "datastore-endpoint: https://a:2379,https://b:2379\nnode-ip: 10.0.0.1\n"})
	if c, _, err := Load(Server, []string{"--config", file}); err != nil || !slices.Equal(c.Datastore, []string{"https://a:2379", "https://b:2379"}) {
		t.Errorf("got %+v, %v", c, err)
	}
	endpoint := "mysql://k3s:a,b@tcp(db:3306)/k3s"
	file = write(t, map[string]string{"config.yaml": "datastore-endpoint: " + endpoint + "\nnode-ip: 10.0.0.1\n"})
	if c, _, err := Load(Server, []string{"--config", file}); err != nil || c.Database != endpoint {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestBothVersions(t *testing.T) {
	file := write(t, map[string]string{"config.yaml": "node-ip: 10.0.0.2,fd00::2\ncluster-cidr: 10.9.0.0/16,fd09::/56\nservice-cidr: 10.8.0.0/16,fd08::/112\n"})
	c, _, err := Load(Server, []string{"--config=" + file})
	if err != nil || !slices.Equal(c.NodeIPs, []string{"10.0.0.2", "fd00::2"}) || c.NodeIP() != "10.0.0.2" || c.ClusterDNS != "10.8.0.10" {
		t.Fatalf("got %+v, %v", c, err)
	}
	if first := ServiceAddress(Ranges(c.ServiceCIDR)[1], 1); first != "fd08::1" {
		t.Errorf("got %s", first)
	}
}
