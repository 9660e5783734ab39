// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package crictl is the small part of cri-tools' crictl that people reach for
// on a k3s node; its module is not to be had in every closed network.
package crictl

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	internalapi "k8s.io/cri-api/pkg/apis"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
)

const usage = `crictl version | info | pods | ps [-a] | images | inspect ID | inspectp ID | logs ID | stop ID | rm ID | stopp ID | rmp ID | rmi IMAGE`

type client struct {
	runtime internalapi.RuntimeService
	images  internalapi.ImageManagerService
	out     *tabwriter.Writer
}

// Main runs one command on the CRI socket.
func Main(socket string, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Println(usage)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	endpoint := "unix://" + socket
	runtime, err := remote.NewRemoteRuntimeService(endpoint, 30*time.Second, nil, nil)
	if err != nil {
		return fmt.Errorf("containerd does not answer on %s: %w", socket, err)
	}
	images, err := remote.NewRemoteImageService(endpoint, 30*time.Second, nil, nil)
	if err != nil {
		return err
	}
	c := client{runtime: runtime, images: images, out: tabwriter.NewWriter(os.Stdout, 2, 4, 3, ' ', 0)}
	defer c.out.Flush()
	if one, known := c.onOne()[args[0]]; known {
		if len(args) < 2 {
			return fmt.Errorf("crictl %s needs an ID", args[0])
		}
		for _, id := range args[1:] {
			if err := one(ctx, id); err != nil {
				return err
			}
		}
		return nil
	}
	return c.list(ctx, args[0], len(args) > 1 && args[1] == "-a")
}

func (c client) list(ctx context.Context, command string, all bool) error {
	switch command {
	case "version":
		v, err := c.runtime.Version(ctx, "")
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "Version:\t%s\nRuntimeName:\t%s\nRuntimeVersion:\t%s\nRuntimeApiVersion:\t%s\n", v.Version, v.RuntimeName, v.RuntimeVersion, v.RuntimeApiVersion)
	case "info":
		status, err := c.runtime.Status(ctx, true)
		if err != nil {
			return err
		}
		return show(status)
	case "pods":
		pods, err := c.runtime.ListPodSandbox(ctx, nil)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.out, "POD ID\tCREATED\tSTATE\tNAME\tNAMESPACE\tATTEMPT\tRUNTIME")
		for _, p := range pods {
			fmt.Fprintf(c.out, "%.13s\t%s\t%s\t%s\t%s\t%d\t%s\n", p.Id, age(p.CreatedAt), short(p.State.String()), p.Metadata.Name, p.Metadata.Namespace, p.Metadata.Attempt, p.RuntimeHandler)
		}
	case "ps":
		list, err := c.runtime.ListContainers(ctx, nil)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.out, "CONTAINER\tIMAGE\tCREATED\tSTATE\tNAME\tATTEMPT\tPOD ID\tPOD")
		for _, k := range list {
			if all || k.State == cri.ContainerState_CONTAINER_RUNNING {
				fmt.Fprintf(c.out, "%.13s\t%.20s\t%s\t%s\t%s\t%d\t%.13s\t%s\n", k.Id, k.Image.Image, age(k.CreatedAt), short(k.State.String()), k.Metadata.Name, k.Metadata.Attempt, k.PodSandboxId, k.Labels["io.kubernetes.pod.name"])
			}
		}
	case "images":
		list, err := c.images.ListImages(ctx, nil)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.out, "IMAGE\tIMAGE ID\tSIZE")
		for _, i := range list {
			fmt.Fprintf(c.out, "%s\t%.13s\t%d\n", strings.Join(i.RepoTags, ","), strings.TrimPrefix(i.Id, "sha256:"), i.Size)
		}
	default:
		return fmt.Errorf("this small crictl has no command %q; it has: %s", command, usage)
	}
	return nil
}

func (c client) onOne() map[string]func(context.Context, string) error {
	return map[string]func(context.Context, string) error{
		"inspect": func(ctx context.Context, id string) error {
			status, err := c.runtime.ContainerStatus(ctx, id, true)
			if err != nil {
				return err
			}
			return show(status)
		},
		"inspectp": func(ctx context.Context, id string) error {
			status, err := c.runtime.PodSandboxStatus(ctx, id, true)
			if err != nil {
				return err
			}
			return show(status)
		},
		"logs": func(ctx context.Context, id string) error {
			status, err := c.runtime.ContainerStatus(ctx, id, false)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(status.Status.LogPath)
			fmt.Print(string(data))
			return err
		},
		"stop":  func(ctx context.Context, id string) error { return c.runtime.StopContainer(ctx, id, 10) },
		"rm":    func(ctx context.Context, id string) error { return c.runtime.RemoveContainer(ctx, id) },
		"stopp": func(ctx context.Context, id string) error { return c.runtime.StopPodSandbox(ctx, id) },
		"rmp":   func(ctx context.Context, id string) error { return c.runtime.RemovePodSandbox(ctx, id) },
		"rmi": func(ctx context.Context, id string) error {
			return c.images.RemoveImage(ctx, &cri.ImageSpec{Image: id})
		},
	}
}

func show(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	fmt.Println(string(data))
	return err
}

func age(nanoseconds int64) string {
	return time.Since(time.Unix(0, nanoseconds)).Round(time.Second).String() + " ago"
}

// short turns CONTAINER_RUNNING and SANDBOX_READY into Running and Ready.
func short(state string) string {
	_, word, _ := strings.Cut(state, "_")
	return word[:1] + strings.ToLower(word[1:])
}
