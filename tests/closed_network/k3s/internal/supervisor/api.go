// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package supervisor is what nodes and servers say to each other on the
// server's HTTPS port, beside the Kubernetes API, under /v1-k3s as in k3s.
package supervisor

// Paths on the server's HTTPS port.
const (
	PathCACerts   = "/cacerts"
	PathPing      = "/ping"
	PathNode      = "/v1-k3s/node"
	PathBootstrap = "/v1-k3s/server-bootstrap"
	PathMember    = "/v1-k3s/etcd-member"
	PathPromote   = "/v1-k3s/etcd-promote"
	PathToken     = "/v1-k3s/token"
)

// NodeRequest asks for a node's certificates. The server decides on their names.
type NodeRequest struct {
	Name       string   `json:"name"`
	Addresses  []string `json:"addresses"`
	Password   string   `json:"password"`
	ClientCSR  []byte   `json:"clientCSR"`
	ServingCSR []byte   `json:"servingCSR"`
	ProxyCSR   []byte   `json:"proxyCSR"`
}

// NodeReply is what a node needs to run.
type NodeReply struct {
	ClientCert  []byte  `json:"clientCert"`
	ServingCert []byte  `json:"servingCert"`
	ProxyCert   []byte  `json:"proxyCert"`
	ClientCA    []byte  `json:"clientCA"`
	ServerCA    []byte  `json:"serverCA"`
	Cluster     Cluster `json:"cluster"`
}

// Cluster holds the settings that all nodes share.
type Cluster struct {
	ClusterCIDR    string `json:"clusterCIDR"`
	ServiceCIDR    string `json:"serviceCIDR"`
	ClusterDNS     string `json:"clusterDNS"`
	ClusterDomain  string `json:"clusterDomain"`
	FlannelBackend string `json:"flannelBackend"`
}

// Bootstrap is what a further server needs: files below server/tls, by name.
type Bootstrap struct {
	Secret string            `json:"secret"`
	Files  map[string][]byte `json:"files"`
	// Encryption is the key of encrypted secrets, where they are.
	Encryption []byte  `json:"encryption,omitempty"`
	Cluster    Cluster `json:"cluster"`
}

// TokenRequest gives the cluster another secret; empty stands for a random one.
type TokenRequest struct {
	NewToken string `json:"newToken"`
}

// MemberRequest adds an etcd member, or promotes it once it has caught up.
type MemberRequest struct {
	Name    string `json:"name"`
	PeerURL string `json:"peerURL"`
}

// MemberReply lists the members for etcd's --initial-cluster.
type MemberReply struct {
	InitialCluster string `json:"initialCluster"`
}
