// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/server"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
	"wasinn.cluster/tests/closed_network/k3s/internal/token"
)

const commandTime = 2 * time.Minute

// etcdSnapshot is k3s etcd-snapshot save|prune.
func etcdSnapshot(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("give save or prune")
	}
	flags := flag.NewFlagSet("etcd-snapshot", flag.ContinueOnError)
	name := flags.String("name", "on-demand", "the first part of the snapshot's name")
	keep := flags.Int("snapshot-retention", 5, "how many are kept")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	c, _, err := config.Load(config.Server, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	switch args[0] {
	case "save":
		return server.SaveSnapshot(ctx, c, *name)
	case "prune":
		return server.PruneSnapshots(c, *name, *keep)
	}
	return fmt.Errorf("this stand-in for k3s has no etcd-snapshot %s: it has save and prune", args[0])
}

// rotateToken is k3s token rotate.
func rotateToken(args []string) error {
	if len(args) == 0 || args[0] != "rotate" {
		return fmt.Errorf("this stand-in for k3s has token rotate only")
	}
	flags := flag.NewFlagSet("token rotate", flag.ContinueOnError)
	old := flags.String("token", os.Getenv("K3S_TOKEN"), "the token that the cluster has")
	changed := flags.String("new-token", "", "the one it is to get; empty for a random one")
	to := flags.String("server", "https://127.0.0.1:6443", "a server")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	t, err := token.Parse(*old, "server")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	client, err := supervisor.Dial(ctx, *to, t)
	if err != nil {
		return err
	}
	if err := client.Call(ctx, supervisor.PathToken, supervisor.TokenRequest{NewToken: *changed}, nil); err != nil {
		return err
	}
	log.Print("Token rotated, restart k3s nodes with new token")
	return nil
}

// rotateCertificates is k3s certificate rotate: what is gone is made anew at
// the next start. The authorities and the key of service accounts stay.
func rotateCertificates(args []string) error {
	if len(args) == 0 || args[0] != "rotate" {
		return fmt.Errorf("this stand-in for k3s has certificate rotate only")
	}
	data := os.Getenv("K3S_DATA_DIR")
	if data == "" {
		data = "/var/lib/rancher/k3s"
	}
	for _, pattern := range []string{"server/tls/*.crt", "server/tls/etcd/*.crt", "agent/client-*.crt", "agent/serving-*.crt"} {
		files, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			base := strings.TrimSuffix(file, ".crt")
			if strings.HasSuffix(base, "-ca") {
				continue
			}
			for _, name := range []string{file, base + ".key"} {
				if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
					return err
				}
			}
		}
	}
	log.Print("Successfully backed up certificates, please restart k3s server or agent to rotate certificates")
	return nil
}
