// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMirrorsBecomeHosts(t *testing.T) {
	dir := t.TempDir()
	file, hosts := filepath.Join(dir, "registries.yaml"), filepath.Join(dir, "certs.d")
	if err := os.WriteFile(file, []byte("mirrors: {docker.io: {endpoint: [\"https://mirror.invalid\"]}, \"*\": null}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeRegistries(file, hosts); err != nil {
		t.Fatal(err)
	}
	want := "server = \"https://docker.io/v2\"\n\n[host.\"https://mirror.invalid/v2\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n"
	if got, err := os.ReadFile(filepath.Join(hosts, "docker.io", "hosts.toml")); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(hosts, "_default", "hosts.toml")); err != nil {
		t.Error(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := writeRegistries(file, hosts); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(hosts); !os.IsNotExist(err) {
		t.Errorf("what is no longer wanted stays: %v", err)
	}
}
