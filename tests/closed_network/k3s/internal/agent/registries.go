// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
)

// registries is the part of k3s' registries.yaml that this stand-in follows:
// mirrors, not passwords and certificates.
type registries struct {
	Mirrors map[string]struct {
		Endpoints []string `json:"endpoint"`
	} `json:"mirrors"`
}

// writeRegistries makes containerd's certs.d anew from registries.yaml, which
// need not be there.
func writeRegistries(file, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	var wanted registries
	if err == nil {
		err = yaml.Unmarshal(data, &wanted)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w", file, err)
	}
	for host, mirror := range wanted.Mirrors {
		name, lines := host, []string{fmt.Sprintf("server = %q", "https://"+host+"/v2")}
		if host == "*" {
			name, lines = "_default", nil
		}
		for _, endpoint := range mirror.Endpoints {
			url := strings.TrimSuffix(endpoint, "/")
			if !strings.HasSuffix(url, "/v2") {
				url += "/v2"
			}
			lines = append(lines, "", fmt.Sprintf("[host.%q]", url), `  capabilities = ["pull", "resolve"]`, "  override_path = true")
		}
		if err := pki.WriteFile(filepath.Join(dir, name, "hosts.toml"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}
