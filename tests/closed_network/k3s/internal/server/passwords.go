// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"log"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// passwords keep a machine from taking another one's node name, as in k3s: the
// hash of what a node said first is a Secret, for as long as its Node lives.
type passwords struct{ client kubernetes.Interface }

const passwordKey = "hash"

func passwordSecret(node string) string { return node + ".node-password.k3s" }

func (p passwords) check(ctx context.Context, node, password string) error {
	sum := sha256.Sum256([]byte(node + "\n" + password))
	hash := []byte(hex.EncodeToString(sum[:]))
	secrets := p.client.CoreV1().Secrets(metav1.NamespaceSystem)
	found, err := secrets.Get(ctx, passwordSecret(node), metav1.GetOptions{})
	if errors.IsNotFound(err) {
		_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: passwordSecret(node)}, Data: map[string][]byte{passwordKey: hash}}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(found.Data[passwordKey], hash) != 1 {
		return fatal("Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry, " +
			"try enabling a unique node name with the --with-node-id flag")
	}
	return nil
}

func (p passwords) forget(ctx context.Context, node string) {
	err := p.client.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, passwordSecret(node), metav1.DeleteOptions{})
	if err != nil && !errors.IsNotFound(err) {
		log.Printf("the password of node %s cannot be forgotten: %v", node, err)
	}
}
