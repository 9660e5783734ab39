// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wasinn.cluster/tests/closed_network/k3s/internal/pki"
)

// BalancerAddress is where an agent's own components find the API, whichever
// server is alive; k3s uses the same port.
const BalancerAddress = "127.0.0.1:6444"

// balancer hands connections to the first server that takes them.
type balancer struct {
	mu      sync.Mutex
	servers []string // host:port, the last one that answered first
}

var servers balancer

func (a *Agent) serversFile() string {
	return filepath.Join(a.dir, "etc", "k3s-agent-load-balancer.json")
}

// loadServers gives the URLs of the servers known from the last run.
func loadServers(path string) []string {
	var known []string
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &known)
	}
	return known
}

// StartBalancer listens on BalancerAddress.
func (a *Agent) StartBalancer() error {
	for _, url := range append([]string{a.c.Server}, loadServers(a.serversFile())...) {
		servers.add(strings.TrimPrefix(url, "https://"))
	}
	listener, err := net.Listen("tcp", BalancerAddress)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go servers.serve(conn)
		}
	}()
	return nil
}

func (b *balancer) add(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.servers, address) {
		b.servers = append(b.servers, address)
	}
}

func (b *balancer) serve(in net.Conn) {
	defer in.Close()
	b.mu.Lock()
	candidates := slices.Clone(b.servers)
	b.mu.Unlock()
	for i, address := range candidates {
		out, err := net.DialTimeout("tcp", address, 3*time.Second)
		if err != nil {
			continue
		}
		defer out.Close()
		if i > 0 {
			b.prefer(address)
		}
		done := make(chan struct{}, 2)
		pipe := func(to, from net.Conn) { _, _ = io.Copy(to, from); done <- struct{}{} }
		go pipe(out, in)
		go pipe(in, out)
		<-done
		return
	}
}

func (b *balancer) prefer(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.servers, address); i > 0 {
		log.Printf("server %s does not answer, turning to %s", b.servers[0], address)
		b.servers = append([]string{address}, slices.Delete(b.servers, i, i+1)...)
	}
}

// watchServers keeps the list of servers, from the kubernetes Service, for
// now and for the next start.
func (a *Agent) watchServers(ctx context.Context, client kubernetes.Interface) {
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		slicesOfAPI, err := client.DiscoveryV1().EndpointSlices("default").List(attempt, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
		cancel()
		var urls []string
		if err == nil {
			for _, s := range slicesOfAPI.Items {
				for _, port := range s.Ports {
					for _, endpoint := range s.Endpoints {
						for _, ip := range endpoint.Addresses {
							address := net.JoinHostPort(ip, itoa(port.Port))
							servers.add(address)
							urls = append(urls, "https://"+address)
						}
					}
				}
			}
		}
		if len(urls) > 0 {
			slices.Sort(urls)
			data, _ := json.Marshal(urls)
			_ = pki.WriteFile(a.serversFile(), append(data, '\n'), 0o600)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(15 * time.Second):
		}
	}
}

func itoa(port *int32) string {
	if port == nil {
		return "6443"
	}
	return strconv.Itoa(int(*port))
}
