// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
	"wasinn.cluster/tests/closed_network/k3s/internal/token"
)

// As in k3s, the datastore holds the cluster's authorities, encrypted with its
// secret, so that a snapshot and the token are all that a new machine needs.
const bootstrapPrefix = "/bootstrap/"

var errOtherToken = errors.New("bootstrap data already found and encrypted with different token")

func bootstrapKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return bootstrapPrefix + hex.EncodeToString(sum[:6])
}

func sealer(secret string, salt []byte) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha256.New, secret, salt, 4096, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

const saltSize, nonceSize = 16, 12

func seal(secret string, data []byte) ([]byte, error) {
	head := make([]byte, saltSize+nonceSize)
	if _, err := rand.Read(head); err != nil {
		return nil, err
	}
	box, err := sealer(secret, head[:saltSize])
	if err != nil {
		return nil, err
	}
	return box.Seal(head, head[saltSize:], data, nil), nil
}

func unseal(secret string, data []byte) ([]byte, error) {
	if len(data) < saltSize+nonceSize {
		return nil, errOtherToken
	}
	box, err := sealer(secret, data[:saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := box.Open(nil, data[saltSize:saltSize+nonceSize], data[saltSize+nonceSize:], nil)
	if err != nil {
		return nil, errOtherToken
	}
	return plain, nil
}

// confirm asks the datastore whether this server's secret is the cluster's,
// stores the authorities in one that has none, and keeps the token's file.
func (s *state) confirm(ctx context.Context, client *clientv3.Client) error {
	found, err := client.Get(ctx, bootstrapPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	known := len(found.Kvs) == 0
	for _, entry := range found.Kvs {
		known = known || string(entry.Key) == bootstrapKey(s.secret)
	}
	if !known {
		return errOtherToken
	}
	if len(found.Kvs) == 0 {
		if err := s.storeBootstrap(ctx, client, s.secret); err != nil {
			return err
		}
	}
	return s.writeToken(s.secret)
}

func (s *state) storeBootstrap(ctx context.Context, client *clientv3.Client, secret string) error {
	bundle, err := s.bundle()
	if err != nil {
		return err
	}
	bundle.Secret = secret
	plain, err := json.Marshal(bundle)
	if err != nil {
		return err
	}
	data, err := seal(secret, plain)
	if err != nil {
		return err
	}
	_, err = client.Put(ctx, bootstrapKey(secret), string(data))
	return err
}

func (s *state) writeToken(secret string) error {
	file := filepath.Join(s.dir, "token")
	full := token.Format(s.serverCA.PEM, "server", secret) + "\n"
	if err := pki.WriteFile(file, []byte(full), 0o600); err != nil {
		return err
	}
	links := []string{"node-token", "agent-token"}
	agentFile := filepath.Join(s.dir, "agent-token")
	if s.agents != "" {
		links = links[:1]
		if err := os.Remove(agentFile); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := pki.WriteFile(agentFile, []byte(token.Format(s.serverCA.PEM, "node", s.agents)+"\n"), 0o600); err != nil {
			return err
		}
	} else if found, err := os.Lstat(agentFile); err == nil && found.Mode().IsRegular() {
		if err := os.Remove(agentFile); err != nil { // agents have a token of their own no more
			return err
		}
	}
	for _, link := range links {
		if _, err := os.Lstat(filepath.Join(s.dir, link)); os.IsNotExist(err) {
			if err := os.Symlink(file, filepath.Join(s.dir, link)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rotate gives the cluster another secret. Nodes need it at their next start.
func (s *state) rotate(ctx context.Context, client *clientv3.Client, secret string) error {
	if secret == "" {
		secret = token.New()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if secret == s.secret {
		return fatal("the new token is the one that the cluster has")
	}
	if err := s.storeBootstrap(ctx, client, secret); err != nil {
		return err
	}
	// The one form of deletion that kine knows too.
	former := bootstrapKey(s.secret)
	if _, err := client.Txn(ctx).Then(clientv3.OpGet(former), clientv3.OpDelete(former)).Commit(); err != nil {
		return err
	}
	s.secret = secret
	return s.writeToken(secret)
}

// installBootstrap writes the authorities, and the key of encrypted secrets, below server.
func installBootstrap(dir string, b *supervisor.Bootstrap) error {
	for name, data := range b.Files {
		mode := os.FileMode(0o600)
		if strings.HasSuffix(name, ".crt") {
			mode = 0o644
		}
		if err := pki.WriteFile(filepath.Join(dir, "tls", filepath.Clean("/"+name)), data, mode); err != nil {
			return fmt.Errorf("the cluster's authorities cannot be kept: %w", err)
		}
	}
	if len(b.Encryption) > 0 {
		return pki.WriteFile(encryptionFile(dir), b.Encryption, 0o600)
	}
	return nil
}
