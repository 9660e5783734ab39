// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserver "k8s.io/apiserver/pkg/apis/apiserver/v1"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
)

// encryptionFile is where k3s keeps the key of --secrets-encryption.
func encryptionFile(serverDir string) string {
	return filepath.Join(serverDir, "cred", "encryption-config.json")
}

// ensureEncryption makes a key where the cluster brought none: new secrets
// are encrypted with AES-CBC, older plain ones can still be read.
func ensureEncryption(serverDir string) error {
	path := encryptionFile(serverDir)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	data, err := json.Marshal(apiserver.EncryptionConfiguration{
		TypeMeta: metav1.TypeMeta{Kind: "EncryptionConfiguration", APIVersion: "apiserver.config.k8s.io/v1"},
		Resources: []apiserver.ResourceConfiguration{{
			Resources: []string{"secrets"},
			Providers: []apiserver.ProviderConfiguration{
				{AESCBC: &apiserver.AESConfiguration{Keys: []apiserver.Key{{Name: "aescbckey", Secret: base64.StdEncoding.EncodeToString(key)}}}},
				{Identity: &apiserver.IdentityConfiguration{}},
			},
		}},
	})
	if err != nil {
		return err
	}
	return pki.WriteFile(path, data, 0o600)
}
