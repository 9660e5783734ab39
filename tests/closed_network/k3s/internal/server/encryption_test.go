// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"os"
	"strings"
	"testing"

	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
)

func TestTheKeyIsMadeOnceAndPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := ensureEncryption(dir); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(encryptionFile(dir))
	if err != nil || !strings.Contains(string(first), `"aescbc":{"keys":[{"name":"aescbckey","secret":"`) {
		t.Fatalf("got %s, %v", first, err)
	}
	if info, err := os.Stat(encryptionFile(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := ensureEncryption(dir); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(encryptionFile(dir)); string(second) != string(first) {
		t.Error("the key was made anew")
	}
}

func TestAnotherServerGetsTheKey(t *testing.T) {
	dir := t.TempDir()
	if err := installBootstrap(dir, &supervisor.Bootstrap{Encryption: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(encryptionFile(dir)); err != nil || string(got) != "{}" {
		t.Errorf("got %q, %v", got, err)
	}
}
