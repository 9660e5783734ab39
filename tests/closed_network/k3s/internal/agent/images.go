// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/proc"
)

// startContainerd starts it and returns once it answers.
func startContainerd(ctx context.Context, c *config.Config, g *proc.Group, bin, configFile string) error {
	if err := os.MkdirAll(filepath.Dir(Socket), 0o711); err != nil {
		return err
	}
	if err := g.Program(filepath.Join(bin, "containerd"), "--config", configFile, "--log-level", level(c)); err != nil {
		return err
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		out, err := ctr(g, bin, "version")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("containerd does not answer on %s after 60 s: %s", Socket, out)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	if out, err := ctr(g, bin, "plugins", "ls", "id=="+c.Snapshotter); err == nil && !strings.Contains(out, " ok") {
		return fmt.Errorf("containerd's snapshotter %s does not work on %s: put that directory on a volume that is not an overlay itself, or set snapshotter: native", c.Snapshotter, c.DataDir)
	}
	return nil
}

func level(c *config.Config) string {
	if c.Debug {
		return "debug"
	}
	return "warn"
}

func ctr(g *proc.Group, bin string, args ...string) (string, error) {
	return g.Run(filepath.Join(bin, "ctr"), append([]string{"--address", Socket, "--namespace", "k8s.io"}, args...)...)
}

// importImages brings agent/images/* into containerd, whatever their platform.
func importImages(c *config.Config, g *proc.Group, bin string) error {
	dir := filepath.Join(c.DataDir, "agent", "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".tar") && !strings.HasSuffix(name, ".tar.gz") && !strings.HasSuffix(name, ".tgz") && !strings.HasSuffix(name, ".tar.zst") {
			continue
		}
		started := time.Now()
		if err := importImage(g, bin, filepath.Join(dir, name)); err != nil {
			// As in k3s, one bad archive does not keep the node from its work.
			log.Printf("images of %s cannot be imported: %v", filepath.Join(dir, name), err)
			continue
		}
		log.Printf("images of %s imported in %.1f s", name, time.Since(started).Seconds())
	}
	return nil
}

func importImage(g *proc.Group, bin, path string) error {
	if !strings.HasSuffix(path, ".tar") {
		plain, err := decompress(path)
		if err != nil {
			return err
		}
		defer os.Remove(plain)
		path = plain
	}
	out, err := ctr(g, bin, "images", "import", "--local", "--all-platforms", "--label", "io.cri-containerd.pinned=pinned", path)
	if err != nil {
		return fmt.Errorf("%s", lastLine(out))
	}
	return nil
}

// decompress writes the plain archive to a temporary file, since ctr reads
// uncompressed archives only.
func decompress(path string) (string, error) {
	if !strings.HasSuffix(path, ".zst") {
		return gunzip(path)
	}
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	stream, err := zstd.NewReader(in)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	return spool(filepath.Dir(path), stream)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func gunzip(path string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	stream, err := gzip.NewReader(in)
	if err != nil {
		return "", err
	}
	return spool(filepath.Dir(path), stream)
}

func spool(dir string, from io.Reader) (string, error) {
	out, err := os.CreateTemp(filepath.Dir(dir), "import-*.partial")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, from)
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(out.Name())
	}
	return out.Name(), err
}
