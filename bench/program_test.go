//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	if err := cmd.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
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
	require.NoError(t, err)
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
		if !slices.Contains(im.Modes, workload.ModeEcho) {
			continue
		}
		t.Run(im.Name, func(t *testing.T) {
			s := start(t, im.Name, workload.ModeEcho)
			for range 3 {
				c, err := net.Dial("tcp", s.Addr)
				require.NoError(t, err)
				defer c.Close()
				_, err = c.Write([]byte("x"))
				require.NoError(t, err)
				n, err := c.Read(make([]byte, 2))
				require.NoError(t, err)
				require.Equal(t, 1, n, "echo of one byte")
			}
			require.NoError(t, s.Signal(syscall.SIGINT))
			assert.NoError(t, s.Wait(), "after SIGINT")
		})
	}
}
