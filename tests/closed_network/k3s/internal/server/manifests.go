// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
)

// The manifests that k3s brings along, as templates over the settings.
//
//go:embed manifests/*.yaml.tmpl
var packaged embed.FS

// writeManifests puts the packaged manifests to server/manifests, but for the
// disabled ones.
func (s *Server) writeManifests() (string, error) {
	dir := filepath.Join(s.s.dir, "manifests")
	entries, err := packaged.ReadDir("manifests")
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".tmpl")
		path := filepath.Join(dir, name)
		if slices.Contains(s.c.Disable, strings.TrimSuffix(name, ".yaml")) {
			_ = os.Remove(path)
			continue
		}
		t, err := template.ParseFS(packaged, "manifests/"+entry.Name())
		if err != nil {
			return "", err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, map[string]string{"ClusterDNS": s.c.ClusterDNS, "ClusterDomain": s.c.ClusterDomain}); err != nil {
			return "", err
		}
		if err := pki.WriteFile(path, out.Bytes(), 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Deploy applies server/manifests/*.yaml, and again what changes there, until
// ctx ends.
func (s *Server) Deploy(ctx context.Context) error {
	dir, err := s.writeManifests()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(s.Admin)
	if err != nil {
		return err
	}
	resources, err := discovery.NewDiscoveryClientForConfig(s.Admin)
	if err != nil {
		return err
	}
	d := &deployer{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(resources)), done: map[string][32]byte{}, said: map[string]string{}}
	go func() {
		for ctx.Err() == nil {
			d.scan(ctx, dir)
			select {
			case <-ctx.Done():
			case <-time.After(3 * time.Second):
			}
		}
	}()
	return nil
}

type deployer struct {
	client *dynamic.DynamicClient
	mapper *restmapper.DeferredDiscoveryRESTMapper
	done   map[string][32]byte // by path: what was applied last
	said   map[string]string   // by path: the last failure logged
}

func (d *deployer) scan(ctx context.Context, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.y*ml"))
	more, _ := filepath.Glob(filepath.Join(dir, "*", "*.y*ml"))
	for _, path := range append(files, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if _, err := os.Stat(path + ".skip"); err == nil {
			continue
		}
		sum := sha256.Sum256(data)
		if last, ok := d.done[path]; ok && last == sum {
			continue
		}
		if err := d.apply(ctx, data); err != nil {
			if d.said[path] != err.Error() {
				d.said[path] = err.Error()
				log.Printf("manifest %s cannot be applied yet: %v", path, err)
			}
			continue
		}
		d.done[path] = sum
		log.Printf("manifest %s applied", path)
	}
}

func (d *deployer) apply(ctx context.Context, data []byte) error {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(object.Object) == 0 {
			continue
		}
		kind := object.GroupVersionKind()
		mapping, err := d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			d.mapper.Reset() // its definition may come later
			return err
		}
		var target dynamic.ResourceInterface = d.client.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			namespace := object.GetNamespace()
			if namespace == "" {
				namespace = metav1.NamespaceDefault
			}
			target = d.client.Resource(mapping.Resource).Namespace(namespace)
		}
		if _, err := target.Apply(ctx, object.GetName(), &object, metav1.ApplyOptions{FieldManager: "k3s-deploy", Force: true}); err != nil {
			return fmt.Errorf("%s %s: %w", kind.Kind, object.GetName(), err)
		}
	}
}
