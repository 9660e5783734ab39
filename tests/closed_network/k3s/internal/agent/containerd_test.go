// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTemplateExtendsBase(t *testing.T) {
	s := containerdSettings{Root: "/r", State: "/s", Socket: Socket, Snapshotter: "overlayfs", Pause: "p:1", BinDir: "/b", ConfDir: "/c",
		Runtimes: []Runtime{{Name: "nvidia", Kind: "io.containerd.runc.v2", Binary: "/usr/bin/nvidia-container-runtime"}, {Name: "wasmedge", Kind: "io.containerd.wasmedge.v1"}}}
	data, err := renderContainerd("{{ template \"base\" . }}\n[debug]\n  level = \"debug\"\n", s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"version = 3", `sandbox = "p:1"`, "runtimes.'wasmedge']\n  runtime_type = \"io.containerd.wasmedge.v1\"",
		`BinaryName = "/usr/bin/nvidia-container-runtime"`, `bin_dirs = ["/b"]`, `level = "debug"`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%q is missing in\n%s", want, data)
		}
	}
	s.BinDir = ""
	if data, err = renderContainerd("", s); err != nil || strings.Contains(string(data), "bin_dirs") {
		t.Errorf("without a network of its own, containerd's defaults stay: %v", err)
	}
	if _, err = renderContainerd("{{ .Nonsense }}", s); err == nil || !strings.Contains(err.Error(), "config-v3.toml.tmpl") {
		t.Errorf("got %v", err)
	}
}

func TestRuntimesAreFoundOnPath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if found := findRuntimes(); len(found) != 0 {
		t.Errorf("got %v", found)
	}
	if err := os.WriteFile(filepath.Join(dir, "containerd-shim-wasmedge-v1"), []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	if found := findRuntimes(); len(found) != 1 || found[0] != (Runtime{Name: "wasmedge", Kind: "io.containerd.wasmedge.v1"}) {
		t.Errorf("got %v", found)
	}
}
