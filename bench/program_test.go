//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/tandem-io/tandem/bench/campaign"
	"github.com/tandem-io/tandem/bench/servers"
	"github.com/tandem-io/tandem/bench/workload"
)

// runProgram runs the program to its end and returns what it printed.
func runProgram(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// start starts a server, or skips the test if this machine cannot run it.
func start(t *testing.T, impl, mode string, more ...string) *campaign.Server {
	t.Helper()
	var w workload.Workload
	for _, k := range workload.Kinds {
		if k.Mode == mode {
			w.Kind = k.Name
		}
	}
	s, err := campaign.StartServer(context.Background(), campaign.Plan{Procs: 2, ServeFlags: more}, campaign.Cell{Impl: impl, Workload: w}, "")
	if errors.Is(err, errors.ErrUnsupported) {
		unsupported(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.Exited() {
			s.Kill()
		}
	})
	return s
}

// TestServerEndsWithConnectionsOpen also ends it the other way, by SIGINT.
func TestServerEndsWithConnectionsOpen(t *testing.T) {
	for _, im := range servers.All() {
		t.Run(im.Name, func(t *testing.T) {
			s := start(t, im.Name, workload.ModeEcho)
			for range 3 {
				c, err := net.Dial("tcp", s.Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Read(make([]byte, 2)); n != 1 || err != nil {
					t.Fatalf("echo of one byte: %d, %v", n, err)
				}
			}
			if err := s.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if err := s.Wait(); err != nil {
				t.Errorf("after SIGINT: %v", err)
			}
		})
	}
}
