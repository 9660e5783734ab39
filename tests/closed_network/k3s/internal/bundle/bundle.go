// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package bundle holds the programs that k3s brings along (containerd and its
// runc shim, ctr, runc, the CNI plugins) and unpacks them, as k3s does, to
// <data-dir>/data/<hash>/bin with the link <data-dir>/data/current.
package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// The builder puts bundle.tar.zst here; in a bare checkout there is none.
//
//go:embed all:assets
var assets embed.FS

// Unpack makes sure that the programs are unpacked and current, and gives
// their directory.
func Unpack(dataDir string) (string, error) {
	data, err := assets.ReadFile("assets/bundle.tar.zst")
	if err != nil {
		return "", errors.New("this executable holds no containerd: build it with `python -m tests.closed_network k3s`")
	}
	sum := sha256.Sum256(data)
	root := filepath.Join(dataDir, "data")
	target := filepath.Join(root, hex.EncodeToString(sum[:]))
	if _, err := os.Stat(target); os.IsNotExist(err) {
		if err := unpackTo(target, data); err != nil {
			return "", fmt.Errorf("the programs of k3s cannot be unpacked to %s: %w", target, err)
		}
	}
	current := filepath.Join(root, "current")
	if link, _ := os.Readlink(current); link != target {
		_ = os.Remove(current + ".tmp")
		if err := os.Symlink(target, current+".tmp"); err != nil {
			return "", err
		}
		if err := os.Rename(current+".tmp", current); err != nil {
			return "", err
		}
	}
	return filepath.Join(current, "bin"), nil
}

func unpackTo(target string, data []byte) error {
	temporary := target + ".tmp"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(temporary, "bin"), 0o755); err != nil {
		return err
	}
	stream, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer stream.Close()
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return os.Rename(temporary, target)
		} else if err != nil {
			return err
		}
		file, err := os.OpenFile(filepath.Join(temporary, "bin", filepath.Base(header.Name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, archive)
		if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
			return err
		}
	}
}
