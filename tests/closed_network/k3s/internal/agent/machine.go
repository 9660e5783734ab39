// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const capSysResource = 24

// may tells whether this process has a capability, by its number.
func may(capability uint) bool {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && set&(1<<capability) != 0
		}
	}
	return true
}

func cgroupV2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// systemdCgroup is k3s' choice: systemd's driver where systemd rules a
// unified hierarchy, cgroupfs elsewhere.
func systemdCgroup() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil && cgroupV2()
}

// prepareMachine does what upstream's components take for granted, of one IP
// version or both.
func prepareMachine(both, protectKernel bool) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("k3s needs root: start it as root or by its systemd unit")
	}
	if _, err := os.Stat("/dev/kmsg"); os.IsNotExist(err) {
		// The kubelet wants to watch the kernel's log; containers have none.
		if err := os.Symlink("/dev/null", "/dev/kmsg"); err != nil {
			return err
		}
	}
	forwarding := []string{"net/ipv4/ip_forward"}
	if both {
		forwarding = append(forwarding, "net/ipv6/conf/all/forwarding")
	}
	for _, name := range forwarding {
		if err := setKernel(name, "1"); err != nil {
			return fmt.Errorf("%w; pods cannot reach each other without it: in a container remount /proc/sys writable", err)
		}
	}
	if protectKernel {
		return nil // the kubelet itself refuses other values than its own
	}
	return coverTunables()
}

func setKernel(name, value string) error {
	path := filepath.Join("/proc/sys", name)
	if now, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(now)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("the kernel setting %s cannot be set to %s: %w", name, value, err)
	}
	return nil
}

// tunables are what the kubelet sets, or else refuses to start.
var tunables = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// coverTunables is for containers, where these settings are the host's and
// read-only: a file with the wanted value is bound over each, in this
// container's mount namespace, and the host keeps its own.
func coverTunables() error {
	for name, value := range tunables {
		if setKernel(name, value) == nil {
			continue
		}
		file := filepath.Join("/run/k3s/sysctl", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(file, filepath.Join("/proc/sys", name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("the kernel setting %s can neither be set nor covered: %w", name, err)
		}
	}
	return nil
}

// resolvConf gives a resolver configuration that works inside a pod: a
// nameserver on the node's own loopback (Docker's, systemd's) does not.
func resolvConf(dir string) (string, error) {
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, _ := os.ReadFile(path)
		usable := false
		for _, line := range strings.Split(string(data), "\n") {
			fields := strings.Fields(line)
			if len(fields) > 1 && fields[0] == "nameserver" && !strings.HasPrefix(fields[1], "127.") && fields[1] != "::1" {
				usable = true
			}
		}
		if usable && !strings.Contains(string(data), "nameserver 127.") {
			return path, nil
		}
	}
	path := filepath.Join(dir, "resolv.conf")
	return path, os.WriteFile(path, []byte("nameserver 8.8.8.8\n"), 0o644)
}
