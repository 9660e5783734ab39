// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Command pack makes the two archives of the build, the same bytes for the
// same input:
//
//	pack bundle OUT.tar.zst FILE...
//	pack images OUT.tar.zst NAME=FILE...
//
// An image holds its one file as /<base name>, which is also its entrypoint.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: pack bundle|images OUT.tar.zst FILE|NAME=FILE...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(kind, out string, items []string) error {
	file, err := os.Create(out + ".tmp")
	if err != nil {
		return err
	}
	stream, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return err
	}
	archive := tar.NewWriter(stream)
	if kind == "bundle" {
		err = bundle(archive, items)
	} else {
		err = images(archive, items)
	}
	if err := errors.Join(err, archive.Close(), stream.Close(), file.Close()); err != nil {
		return err
	}
	return os.Rename(out+".tmp", out)
}

func bundle(archive *tar.Writer, files []string) error {
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := add(archive, filepath.Base(path), 0o755, data); err != nil {
			return err
		}
	}
	return nil
}

// images writes Docker's archive format, which containerd
// imports by its tags.
func images(archive *tar.Writer, items []string) error {
	var manifest []map[string]any
	for _, item := range items {
		name, path, ok := strings.Cut(item, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=FILE", item)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var layer bytes.Buffer
		content := tar.NewWriter(&layer)
		if err := errors.Join(add(content, filepath.Base(path), 0o755, data), content.Close()); err != nil {
			return err
		}
		config, err := json.Marshal(map[string]any{
			"architecture": runtime.GOARCH, "os": "linux",
			"config": map[string]any{"Entrypoint": []string{"/" + filepath.Base(path)}, "Env": []string{"PATH=/"}},
			"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hash(layer.Bytes())}},
		})
		if err != nil {
			return err
		}
		layerName, configName := hash(layer.Bytes())+".tar", hash(config)+".json"
		if err := errors.Join(add(archive, layerName, 0o644, layer.Bytes()), add(archive, configName, 0o644, config)); err != nil {
			return err
		}
		manifest = append(manifest, map[string]any{"Config": configName, "RepoTags": []string{name}, "Layers": []string{layerName}})
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	return add(archive, "manifest.json", 0o644, data)
}

func add(archive *tar.Writer, name string, mode int64, data []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err := io.Copy(archive, bytes.NewReader(data))
	return err
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
