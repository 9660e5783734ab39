// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"log"
	"path"
	"path/filepath"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/robfig/cron/v3"

	"wasinn.cluster/tests/closed_network/k3s/internal/config"
)

// scheduledName begins the names of snapshots that k3s saves by itself.
const scheduledName = "etcd-snapshot"

// schedule saves snapshots at the configured times.
func schedule(ctx context.Context, c *config.Config) error {
	if c.SnapshotCron == "" {
		return nil
	}
	times := cron.New()
	_, err := times.AddFunc(c.SnapshotCron, func() {
		if err := SaveSnapshot(ctx, c, scheduledName); err != nil {
			log.Printf("scheduled snapshot: %v", err)
			return
		}
		if err := PruneSnapshots(c, scheduledName, c.SnapshotKeep); err != nil {
			log.Printf("scheduled snapshot: %v", err)
		}
	})
	if err != nil {
		return fmt.Errorf("etcd-snapshot-schedule-cron %q is no schedule: %w", c.SnapshotCron, err)
	}
	times.Start()
	context.AfterFunc(ctx, func() { times.Stop() })
	return nil
}

func s3Client(s config.S3) (*minio.Client, error) {
	return minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: !s.Insecure, Region: s.Region,
	})
}

// upload puts a snapshot into the bucket, where there is one.
func upload(ctx context.Context, s config.S3, file string) error {
	if s.Bucket == "" {
		return nil
	}
	client, err := s3Client(s)
	if err != nil {
		return err
	}
	object := path.Join(s.Folder, filepath.Base(file))
	if _, err := client.FPutObject(ctx, s.Bucket, object, file, minio.PutObjectOptions{}); err != nil {
		return fmt.Errorf("the snapshot cannot be put into the bucket %s of %s: %w", s.Bucket, s.Endpoint, err)
	}
	log.Printf("Snapshot %s is in the bucket %s", object, s.Bucket)
	return nil
}

// download brings the snapshot of that name from the bucket, and gives its path.
func download(ctx context.Context, c *config.Config) (string, error) {
	client, err := s3Client(c.S3)
	if err != nil {
		return "", err
	}
	file := filepath.Join(snapshotsDir(c), filepath.Base(c.RestorePath))
	object := path.Join(c.S3.Folder, filepath.Base(c.RestorePath))
	if err := client.FGetObject(ctx, c.S3.Bucket, object, file, minio.GetObjectOptions{}); err != nil {
		return "", fmt.Errorf("the snapshot %s cannot be had from the bucket %s of %s: %w", object, c.S3.Bucket, c.S3.Endpoint, err)
	}
	return file, nil
}
