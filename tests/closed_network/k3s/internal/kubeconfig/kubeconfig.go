// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package kubeconfig writes client configurations as files.
package kubeconfig

import (
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
)

// Write names the certificates by path.
func Write(path string, mode os.FileMode, server, ca, cert, key string) error {
	return write(path, mode, &api.Cluster{Server: server, CertificateAuthority: ca}, &api.AuthInfo{ClientCertificate: cert, ClientKey: key})
}

// WriteEmbedded holds the certificates, so that it can be carried elsewhere.
func WriteEmbedded(path string, mode os.FileMode, server, ca, cert, key string) error {
	data := map[string][]byte{}
	for _, name := range []string{ca, cert, key} {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		data[name] = content
	}
	return write(path, mode, &api.Cluster{Server: server, CertificateAuthorityData: data[ca]},
		&api.AuthInfo{ClientCertificateData: data[cert], ClientKeyData: data[key]})
}

func write(path string, mode os.FileMode, cluster *api.Cluster, user *api.AuthInfo) error {
	content := api.NewConfig()
	content.Clusters["default"] = cluster
	content.AuthInfos["default"] = user
	content.Contexts["default"] = &api.Context{Cluster: "default", AuthInfo: "default"}
	content.CurrentContext = "default"
	data, err := clientcmd.Write(*content)
	if err != nil {
		return err
	}
	return pki.WriteFile(path, data, mode)
}
