// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"strings"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/token"
)

// passwordFile is where k3s keeps what proves that a machine had its node's name before.
const passwordFile = "/etc/rancher/node/password"

func password() (string, error) {
	data, err := os.ReadFile(passwordFile)
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !os.IsNotExist(err) {
		return "", err
	}
	made := token.New()
	return made, pki.WriteFile(passwordFile, []byte(made+"\n"), 0o600)
}
