// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeavesAreKeptWhileTheyFit(t *testing.T) {
	dir := t.TempDir()
	ca, err := EnsureCA(filepath.Join(dir, "ca"), "test")
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "leaf")
	read := func(leaf Leaf) string {
		t.Helper()
		if err := ca.EnsureLeaf(base, leaf); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(base + ".crt")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := read(Serving("a", false, "10.0.0.1", "host"))
	if read(Serving("a", false, "host")) != first {
		t.Error("a certificate with all names wanted was made anew")
	}
	if read(Serving("a", false, "host", "other")) == first {
		t.Error("a certificate that lacks a name was kept")
	}
	again, err := EnsureCA(filepath.Join(dir, "ca"), "test")
	if err != nil || !again.Cert.Equal(ca.Cert) {
		t.Errorf("the authority changed: %v", err)
	}
	if info, _ := os.Stat(filepath.Join(dir, "ca.key")); info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v", info.Mode())
	}
}
