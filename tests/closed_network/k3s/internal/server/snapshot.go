// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
	"wasinn.cluster/tests/closed_network/k3s/internal/supervisor"
	"wasinn.cluster/tests/closed_network/k3s/internal/token"
)

func snapshotsDir(c *config.Config) string {
	if c.SnapshotDir != "" {
		return c.SnapshotDir
	}
	return filepath.Join(c.DataDir, "server", "db", "snapshots")
}

// SaveSnapshot asks this machine's running datastore for a snapshot and keeps
// it as NAME-NODE-UNIXTIME.
func SaveSnapshot(ctx context.Context, c *config.Config, name string) error {
	s := &state{dir: filepath.Join(c.DataDir, "server")}
	s.tls = filepath.Join(s.dir, "tls")
	if !memberExists(s.dir) {
		return errors.New("etcd datastore disabled: this machine has no member of one")
	}
	var err error
	if s.etcdCA, err = pki.EnsureCA(filepath.Join(s.tls, "etcd", "server-ca"), "etcd-server-ca"); err != nil {
		return err
	}
	client, err := newEtcd(c, s).client()
	if err != nil {
		return err
	}
	defer client.Close()
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("the datastore gives no snapshot: %w", err)
	}
	defer stream.Close()
	dir := snapshotsDir(c)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := fmt.Sprintf("%s-%s-%d", name, c.NodeName, time.Now().Unix())
	partial := filepath.Join(dir, "."+file+".part")
	defer os.Remove(partial)
	out, err := os.OpenFile(partial, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, stream)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(partial, filepath.Join(dir, file)); err != nil {
		return err
	}
	log.Printf("Snapshot %s saved.", file)
	return upload(ctx, c.S3, filepath.Join(dir, file))
}

// PruneSnapshots keeps the newest of those that SaveSnapshot named so.
func PruneSnapshots(c *config.Config, name string, keep int) error {
	files, err := filepath.Glob(filepath.Join(snapshotsDir(c), name+"-"+c.NodeName+"-*"))
	if err != nil {
		return err
	}
	slices.Sort(files) // the time at the end has ten digits until 2286
	for len(files) > keep {
		if err := os.Remove(files[0]); err != nil {
			return err
		}
		log.Printf("Removed snapshot %s", filepath.Base(files[0]))
		files = files[1:]
	}
	return nil
}

// Reset is k3s server --cluster-reset with a snapshot: this machine gets a
// datastore of one member with what the snapshot holds.
func Reset(c *config.Config) error {
	if c.Server != "" {
		return errors.New("cannot perform cluster-reset while server URL is set - remove server from configuration before resetting")
	}
	if c.RestorePath == "" {
		return errors.New("this stand-in for k3s resets a cluster from a snapshot only: give --cluster-reset-restore-path")
	}
	dir := filepath.Join(c.DataDir, "server")
	if _, err := os.Stat(resetFlag(dir)); err == nil {
		return fmt.Errorf("managed etcd cluster membership was previously reset, please remove the cluster-reset flag and start k3s normally. "+
			"If you need to perform another cluster reset, you must first manually delete the file at %s", resetFlag(dir))
	}
	given := c.Token
	if given == "" {
		data, err := os.ReadFile(filepath.Join(dir, "token"))
		if err != nil {
			return fmt.Errorf("the snapshot's token is needed: %w", err)
		}
		given = string(data)
	}
	t, err := token.Parse(given, "server")
	if err != nil {
		return err
	}
	if c.S3.Bucket != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if c.RestorePath, err = download(ctx, c); err != nil {
			return err
		}
	}
	// As k3s does: the datastore is put aside before the snapshot is looked at (pkg/etcd/etcd.go, Restore).
	etcd := filepath.Join(dir, "db", "etcd")
	if _, err := os.Stat(etcd); err == nil {
		if err := os.Rename(etcd, fmt.Sprintf("%s-old-%d", etcd, time.Now().Unix())); err != nil {
			return err
		}
	}
	bundle, err := bootstrapIn(c.RestorePath, t.Secret)
	if err != nil {
		return err
	}
	fresh := etcd + ".restored"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	peer := "https://" + c.NodeIP() + ":2380"
	if err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: c.RestorePath, Name: c.NodeName, OutputDataDir: fresh, PeerURLs: []string{peer},
		InitialCluster: c.NodeName + "=" + peer, InitialClusterToken: "k3s",
	}); err != nil {
		return fmt.Errorf("the snapshot %s cannot be restored: %w", c.RestorePath, err)
	}
	if err := installBootstrap(dir, bundle); err != nil {
		return err
	}
	if err := os.Rename(fresh, etcd); err != nil {
		return err
	}
	if err := pki.WriteFile(resetFlag(dir), nil, 0o600); err != nil {
		return err
	}
	log.Print("Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. " +
		"Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes")
	return nil
}

func resetFlag(serverDir string) string { return filepath.Join(serverDir, "db", "reset-flag") }

// bootstrapIn reads the cluster's authorities out of a snapshot, which is an
// etcd backend file: its bucket "key" has every revision, oldest first.
func bootstrapIn(path, secret string) (*supervisor.Bootstrap, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("the snapshot %s cannot be read: %w", path, err)
	}
	defer db.Close()
	var value []byte
	any := false
	err = db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("key"))
		if bucket == nil {
			return fmt.Errorf("the snapshot %s is none of etcd", path)
		}
		return bucket.ForEach(func(revision, data []byte) error {
			var entry mvccpb.KeyValue
			if err := entry.Unmarshal(data); err != nil {
				return err
			}
			any = any || strings.HasPrefix(string(entry.Key), bootstrapPrefix)
			if string(entry.Key) == bootstrapKey(secret) {
				value = slices.Clone(entry.Value)
				if len(revision) > 17 { // a tombstone's mark
					value = nil
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if value == nil && !any {
		return nil, fmt.Errorf("the snapshot %s is of no k3s", path)
	}
	if value == nil {
		return nil, errOtherToken
	}
	plain, err := unseal(secret, value)
	if err != nil {
		return nil, err
	}
	bundle := &supervisor.Bootstrap{}
	return bundle, json.Unmarshal(plain, bundle)
}
