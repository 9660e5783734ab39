// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package proc runs upstream's programs as children of k3s: their output goes
// to the log with their name before it, none outlives k3s, and one that ends
// by itself ends k3s, so that systemd starts everything afresh.
package proc

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Group is the set of running children, in the order of their start.
type Group struct {
	mu       sync.Mutex
	children []*child
	stopping bool
	failed   chan error
	requests chan func()
	env      []string
}

type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// NewGroup makes a group whose children find programs in bin first.
func NewGroup(bin string) *Group {
	g := &Group{failed: make(chan error, 16), requests: make(chan func())}
	for _, entry := range os.Environ() {
		// A child that spoke to systemd would speak in k3s' name.
		if !strings.HasPrefix(entry, "NOTIFY_SOCKET=") && !strings.HasPrefix(entry, "PATH=") {
			g.env = append(g.env, entry)
		}
	}
	g.env = append(g.env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	// The kernel sends Pdeathsig when the starting *thread* ends, so one
	// thread that never ends starts all children.
	go func() {
		runtime.LockOSThread()
		for request := range g.requests {
			request()
		}
	}()
	return g
}

// Failed tells of a child that ended by itself.
func (g *Group) Failed() <-chan error { return g.failed }

// Self starts this executable under a component's name.
func (g *Group) Self(name string, args ...string) error {
	return g.start(name, "/proc/self/exe", args, nil)
}

// Program starts a program by path.
func (g *Group) Program(path string, args ...string) error {
	return g.start(filepath.Base(path), path, args, nil)
}

// Secretly starts a program by path with variables that no list of processes
// shows.
func (g *Group) Secretly(env []string, path string, args ...string) error {
	return g.start(filepath.Base(path), path, args, env)
}

func (g *Group) start(name, path string, args, env []string) error {
	cmd := &exec.Cmd{Path: path, Args: append([]string{name}, args...), Env: append(slices.Clone(g.env), env...)}
	// Pdeathsig: should k3s be killed, its children go too. Setpgid: a
	// terminal's ^C reaches k3s alone, which ends them in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	result := make(chan error)
	g.requests <- func() { result <- cmd.Start() }
	err = <-result
	writer.Close()
	if err != nil {
		reader.Close()
		return fmt.Errorf("%s cannot be started: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, done: make(chan struct{})}
	g.mu.Lock()
	g.children = append(g.children, c)
	g.mu.Unlock()
	go prefix(name, reader)
	go func() {
		err := cmd.Wait()
		close(c.done)
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.stopping {
			g.failed <- fmt.Errorf("%s ended by itself (%v): its last lines above say why", name, err)
		}
	}()
	return nil
}

// Stop ends the children, the last started first, giving each group of names
// its time to end before it is killed.
func (g *Group) Stop(grace time.Duration) {
	g.mu.Lock()
	g.stopping = true
	children := slices.Clone(g.children)
	g.mu.Unlock()
	slices.Reverse(children)
	for _, c := range children {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.done:
		case <-time.After(grace):
			log.Printf("%s did not end within %s and is killed", c.name, grace)
			_ = c.cmd.Process.Kill()
			<-c.done
		}
	}
}

func prefix(name string, r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			fmt.Fprintf(os.Stderr, "%s: %s\n", name, strings.TrimRight(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

// Run runs a helper program to its end and gives its output.
func (g *Group) Run(path string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = g.env
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
