//go:build linux

package campaign

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/workload"
)

// asChild makes the test binary behave as the program would as a child: a server that dies when somebody connects, or a
// load generator that reports when its connection ends.
const asChild = "BENCH_CAMPAIGN_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	if err := child(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is serve or load, whichever the command line says.
func child(args []string) error {
	if args[1] == "serve" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Printf(ListeningLine+"\n", l.Addr(), "net", workload.ModeEcho, "")
		if _, err := l.Accept(); err != nil {
			return err
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	c, err := net.Dial("tcp", args[3])
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return fmt.Errorf("the server is gone: %v", err)
}

func TestAServerThatDiesIsAFailure(t *testing.T) {
	t.Setenv(asChild, "1")
	p := Plan{Procs: 1, Window: time.Hour}
	at := Cell{"net", workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1}, 0}
	s, err := StartServer(t.Context(), p, at, "")
	require.NoError(t, err)
	c := &campaign{Plan: p}
	assert.False(t, c.load(t.Context(), s, at))
	require.Len(t, c.Failures, 1)
	assert.Contains(t, c.Failures[0], "load: exit status 1: the server is gone")
	assert.Empty(t, c.Samples)
	require.Error(t, s.Wait())
	assert.ErrorContains(t, s.Stop(), "the server ended: signal: killed")
}
