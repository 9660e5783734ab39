// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package config reads k3s' settings: defaults, then /etc/rancher/k3s/config.yaml,
// then config.yaml.d/*.yaml in alphabetical order, then environment, then flags.
package config

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Roles of a node.
const (
	Server = "server"
	Agent  = "agent"
)

// DefaultFile is where k3s looks for its configuration.
const DefaultFile = "/etc/rancher/k3s/config.yaml"

// Config holds the settings of one node.
type Config struct {
	Role            string
	Token           string
	AgentToken      string // by which agents join, where it is another one than Token
	Server          string // https://host:port of a server to join; empty on the first server
	ClusterInit     bool
	ClusterReset    bool
	RestorePath     string // of a snapshot, with ClusterReset
	SnapshotDir     string
	SnapshotCron    string // when a snapshot is saved; empty for never
	SnapshotKeep    int    // of those
	S3              S3
	Datastore       []string // what is given in place of k3s' own etcd: another one's URLs, or one of a database
	Database        string   // the latter
	DatastoreCA     string   // files to reach it with
	DatastoreCert   string
	DatastoreKey    string
	EncryptSecrets  bool
	ProtectKernel   bool   // the kernel has to be set up already
	Registries      string // file of mirrors
	NodeName        string
	NodeIPs         []string // one, or one of each IP version
	NodeExternalIP  string
	NodeLabels      []string
	NodeTaints      []string
	ClusterCIDR     string // one, or one of each IP version with a comma between
	ServiceCIDR     string
	ClusterDNS      string
	ClusterDomain   string
	TLSSANs         []string
	WriteKubeconfig string
	KubeconfigMode  os.FileMode
	Disable         []string
	FlannelBackend  string
	DataDir         string
	Port            int
	BindAddress     string
	Snapshotter     string
	PauseImage      string
	Debug           bool
	KubeletArgs     []string
	ProxyArgs       []string
	APIServerArgs   []string
	ControllerArgs  []string
	SchedulerArgs   []string
	EtcdArgs        []string
}

// S3 is where snapshots go besides; without a bucket nowhere.
type S3 struct {
	Endpoint, Region, Bucket, Folder string
	AccessKey, SecretKey             string
	Insecure                         bool // HTTP
}

type option struct {
	name       string
	list       bool
	boolean    bool
	serverOnly bool
	env        string
	def        string
}

// options are the keys this program knows. k3s has more; a key it does not
// know is skipped with a warning, as k3s does.
var options = []option{
	{name: "token", env: "K3S_TOKEN"},
	{name: "token-file", env: "K3S_TOKEN_FILE"},
	{name: "agent-token", serverOnly: true, env: "K3S_AGENT_TOKEN"},
	{name: "agent-token-file", serverOnly: true, env: "K3S_AGENT_TOKEN_FILE"},
	{name: "server", env: "K3S_URL"},
	{name: "datastore-endpoint", serverOnly: true, env: "K3S_DATASTORE_ENDPOINT"},
	{name: "datastore-cafile", serverOnly: true, env: "K3S_DATASTORE_CAFILE"},
	{name: "datastore-certfile", serverOnly: true, env: "K3S_DATASTORE_CERTFILE"},
	{name: "datastore-keyfile", serverOnly: true, env: "K3S_DATASTORE_KEYFILE"},
	{name: "secrets-encryption", boolean: true, serverOnly: true},
	{name: "protect-kernel-defaults", boolean: true},
	{name: "private-registry", def: "/etc/rancher/k3s/registries.yaml"},
	{name: "cluster-init", boolean: true, serverOnly: true, env: "K3S_CLUSTER_INIT"},
	{name: "cluster-reset", boolean: true, serverOnly: true, env: "K3S_CLUSTER_RESET"},
	{name: "cluster-reset-restore-path", serverOnly: true},
	{name: "etcd-snapshot-dir", serverOnly: true},
	{name: "etcd-snapshot-schedule-cron", serverOnly: true, def: "0 */12 * * *"},
	{name: "etcd-snapshot-retention", serverOnly: true, def: "5"},
	{name: "etcd-disable-snapshots", boolean: true, serverOnly: true},
	{name: "etcd-s3", boolean: true, serverOnly: true},
	{name: "etcd-s3-endpoint", serverOnly: true, def: "s3.amazonaws.com"},
	{name: "etcd-s3-region", serverOnly: true, def: "us-east-1"},
	{name: "etcd-s3-bucket", serverOnly: true},
	{name: "etcd-s3-folder", serverOnly: true},
	{name: "etcd-s3-access-key", serverOnly: true, env: "AWS_ACCESS_KEY_ID"},
	{name: "etcd-s3-secret-key", serverOnly: true, env: "AWS_SECRET_ACCESS_KEY"},
	{name: "etcd-s3-insecure", boolean: true, serverOnly: true},
	{name: "node-name", env: "K3S_NODE_NAME"},
	{name: "node-ip"},
	{name: "node-external-ip"},
	{name: "node-label", list: true},
	{name: "node-taint", list: true},
	{name: "cluster-cidr", serverOnly: true, def: "10.42.0.0/16"},
	{name: "service-cidr", serverOnly: true, def: "10.43.0.0/16"},
	{name: "cluster-dns", serverOnly: true},
	{name: "cluster-domain", serverOnly: true, def: "cluster.local"},
	{name: "tls-san", list: true, serverOnly: true},
	{name: "write-kubeconfig", serverOnly: true, env: "K3S_KUBECONFIG_OUTPUT", def: "/etc/rancher/k3s/k3s.yaml"},
	{name: "write-kubeconfig-mode", serverOnly: true, env: "K3S_KUBECONFIG_MODE", def: "0600"},
	{name: "disable", list: true, serverOnly: true},
	{name: "flannel-backend", serverOnly: true, def: "host-gw"},
	{name: "data-dir", env: "K3S_DATA_DIR", def: "/var/lib/rancher/k3s"},
	{name: "https-listen-port", serverOnly: true, def: "6443"},
	{name: "bind-address", serverOnly: true},
	{name: "snapshotter", def: "overlayfs"},
	{name: "pause-image", def: "wasinn.local/pause:1"},
	{name: "debug", boolean: true, env: "K3S_DEBUG"},
	{name: "kubelet-arg", list: true},
	{name: "kube-proxy-arg", list: true},
	{name: "kube-apiserver-arg", list: true, serverOnly: true},
	{name: "kube-controller-manager-arg", list: true, serverOnly: true},
	{name: "kube-scheduler-arg", list: true, serverOnly: true},
	{name: "etcd-arg", list: true, serverOnly: true},
}

func find(name, role string) (option, bool) {
	for _, o := range options {
		if o.name == name && (role == Server || !o.serverOnly) {
			return o, true
		}
	}
	return option{}, false
}

// Load reads the settings for role from the file named by --config (or
// K3S_CONFIG_FILE, or DefaultFile), the environment and args. Warnings are
// sentences for the log.
func Load(role string, args []string) (*Config, []string, error) {
	flags, file, err := parseFlags(role, args)
	if err != nil {
		return nil, nil, err
	}
	explicit := file != ""
	if file == "" {
		file = os.Getenv("K3S_CONFIG_FILE")
		explicit = file != ""
	}
	if file == "" {
		file = DefaultFile
	}
	values, warnings, err := readFiles(role, file, explicit)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range options {
		if o.env == "" || os.Getenv(o.env) == "" {
			continue
		}
		if _, set := values[o.name]; !set {
			values[o.name] = []string{os.Getenv(o.env)}
		}
	}
	for name, given := range flags {
		if o, _ := find(name, role); o.list {
			values[name] = append(values[name], given...)
		} else {
			values[name] = given
		}
	}
	c, err := build(role, values)
	return c, warnings, err
}

func build(role string, values map[string][]string) (*Config, error) {
	one := func(name string) string {
		if v := values[name]; len(v) > 0 {
			return v[len(v)-1]
		}
		o, _ := find(name, Server)
		return o.def
	}
	yes := func(name string) bool { v, _ := strconv.ParseBool(one(name)); return v }
	c := &Config{
		Role: role, Token: one("token"), AgentToken: one("agent-token"), Server: strings.TrimSuffix(one("server"), "/"), ClusterInit: yes("cluster-init"),
		ClusterReset: yes("cluster-reset"), RestorePath: one("cluster-reset-restore-path"), SnapshotDir: one("etcd-snapshot-dir"),
		Datastore: split(values["datastore-endpoint"]), DatastoreCA: one("datastore-cafile"), DatastoreCert: one("datastore-certfile"), DatastoreKey: one("datastore-keyfile"),
		NodeName: one("node-name"), NodeIPs: split(values["node-ip"]), NodeExternalIP: one("node-external-ip"),
		NodeLabels: values["node-label"], NodeTaints: values["node-taint"],
		ClusterCIDR: one("cluster-cidr"), ServiceCIDR: one("service-cidr"), ClusterDNS: one("cluster-dns"), ClusterDomain: one("cluster-domain"),
		TLSSANs: split(values["tls-san"]), WriteKubeconfig: one("write-kubeconfig"), Disable: split(values["disable"]),
		FlannelBackend: one("flannel-backend"), DataDir: one("data-dir"), BindAddress: one("bind-address"),
		EncryptSecrets: yes("secrets-encryption"), ProtectKernel: yes("protect-kernel-defaults"), Registries: one("private-registry"),
		Snapshotter: one("snapshotter"), PauseImage: one("pause-image"), Debug: yes("debug"),
		KubeletArgs: values["kubelet-arg"], ProxyArgs: values["kube-proxy-arg"], APIServerArgs: values["kube-apiserver-arg"],
		ControllerArgs: values["kube-controller-manager-arg"], SchedulerArgs: values["kube-scheduler-arg"], EtcdArgs: values["etcd-arg"],
	}
	mode, err := strconv.ParseUint(one("write-kubeconfig-mode"), 8, 32)
	if err != nil {
		return nil, fmt.Errorf("write-kubeconfig-mode %q is not an octal file mode: give one such as \"0600\"", one("write-kubeconfig-mode"))
	}
	c.KubeconfigMode = os.FileMode(mode)
	if c.Port, err = strconv.Atoi(one("https-listen-port")); err != nil || c.Port < 1 || c.Port > 65535 {
		return nil, fmt.Errorf("https-listen-port %q is not a port number: give one from 1 to 65535", one("https-listen-port"))
	}
	for name, into := range map[string]*string{"token-file": &c.Token, "agent-token-file": &c.AgentToken} {
		if file := one(name); *into == "" && file != "" {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("the token file cannot be read: %w", err)
			}
			*into = strings.TrimSpace(string(data))
		}
	}
	if !yes("etcd-disable-snapshots") {
		c.SnapshotCron = one("etcd-snapshot-schedule-cron")
	}
	if c.SnapshotKeep, err = strconv.Atoi(one("etcd-snapshot-retention")); err != nil {
		return nil, fmt.Errorf("etcd-snapshot-retention %q is no number", one("etcd-snapshot-retention"))
	}
	if yes("etcd-s3") {
		c.S3 = S3{one("etcd-s3-endpoint"), one("etcd-s3-region"), one("etcd-s3-bucket"), one("etcd-s3-folder"),
			one("etcd-s3-access-key"), one("etcd-s3-secret-key"), yes("etcd-s3-insecure")}
		if c.S3.Bucket == "" {
			return nil, fmt.Errorf("etcd-s3 without a bucket: give etcd-s3-bucket")
		}
	}
	if len(c.Datastore) > 0 {
		switch scheme, _, _ := strings.Cut(c.Datastore[0], ":"); scheme {
		case "http", "https":
		case "postgres", "postgresql", "mysql":
			c.Database = one("datastore-endpoint")
		default:
			return nil, fmt.Errorf("datastore-endpoint with %s: is not in this stand-in for k3s: it knows etcd (https://), postgres:// and mysql://", scheme)
		}
	}
	return c, c.complete()
}

// complete fills in what the machine decides and refuses what cannot work.
func (c *Config) complete() error {
	if c.NodeName == "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		c.NodeName = host
	}
	c.NodeName = strings.ToLower(c.NodeName)
	for _, cidr := range append(Ranges(c.ClusterCIDR), Ranges(c.ServiceCIDR)...) {
		if _, _, err := net.ParseCIDR(cidr); err != nil {
			return fmt.Errorf("%q is no address range: give cluster-cidr and service-cidr like 10.42.0.0/16", cidr)
		}
	}
	if c.ClusterDNS == "" {
		c.ClusterDNS = ServiceAddress(Ranges(c.ServiceCIDR)[0], 10)
	}
	switch c.FlannelBackend {
	case "host-gw", "none":
	default:
		return fmt.Errorf("flannel-backend %q is not in this stand-in for k3s: use host-gw or none", c.FlannelBackend)
	}
	if c.Server != "" && !strings.HasPrefix(c.Server, "https://") {
		return fmt.Errorf("server %q is not an https URL: give one such as https://10.0.0.1:6443", c.Server)
	}
	if c.Role == Agent {
		if c.Server == "" {
			return fmt.Errorf("--server is required: an agent joins a server, such as https://10.0.0.1:6443")
		}
		c.ClusterInit = false
	}
	if c.Server != "" && c.Token == "" {
		return fmt.Errorf("--token is required to join %s: take it from /var/lib/rancher/k3s/server/node-token there", c.Server)
	}
	if len(c.NodeIPs) == 0 {
		ip, err := ownAddress(c.Server)
		if err != nil {
			return err
		}
		c.NodeIPs = []string{ip}
	}
	return nil
}

// NodeIP is the address that other nodes know this one by.
func (c *Config) NodeIP() string { return c.NodeIPs[0] }

// Ranges are the parts of cluster-cidr or service-cidr.
func Ranges(joined string) []string { return split([]string{joined}) }

// ServiceAddress is the address that lies so far behind the first of a range.
func ServiceAddress(cidr string, number byte) string {
	_, services, _ := net.ParseCIDR(cidr)
	services.IP[len(services.IP)-1] += number
	return services.IP.String()
}

// ownAddress is the address that this machine would use towards the server,
// or towards the world.
func ownAddress(server string) (string, error) {
	target := "192.0.2.1:9"
	if server != "" {
		target = strings.TrimPrefix(server, "https://")
	}
	if conn, err := net.Dial("udp4", target); err == nil {
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
	}
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return ip.IP.String(), nil
		}
	}
	return "", fmt.Errorf("this machine has no IPv4 address to use as node-ip: set node-ip")
}

func split(values []string) (all []string) {
	for _, v := range values {
		for _, part := range strings.Split(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}
