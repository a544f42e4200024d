package tandem_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// sandboxEnv says which test a child runs that takes something from itself which it cannot have back.
const sandboxEnv = "TANDEM_TEST_SANDBOX"

// inSandbox runs fn in a process of its own.
func inSandbox(t *testing.T, fn func(*testing.T)) {
	t.Helper()
	if os.Getenv(sandboxEnv) == t.Name() {
		fn(t)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	// The binary of the test is in a directory that only its owner may enter.
	c := exec.CommandContext(ctx, "/proc/self/exe", "-test.run="+pattern, "-test.v")
	c.Env = append(os.Environ(), sandboxEnv+"="+t.Name(), "TANDEM_BACKEND=", "GORACE=atexit_sleep_ms=0")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
}

// opens reports what OnOpen was called for.
type opens struct {
	tandem.BaseHandler
	streams chan *tandem.Stream
}

func (o opens) OnOpen(s *tandem.Stream) { o.streams <- s }

// A program forbids itself io_uring_register(2) after Open, as sandboxes do. A loop that sleeps can still be woken.
func TestWakeUpWithoutRegister(t *testing.T) {
	backends(t, func(t *testing.T, backend tandem.Backend) {
		inSandbox(t, func(t *testing.T) {
			tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
			if err != nil && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
				t.Skipf("NOT TESTED: %v", err)
			}
			require.NoError(t, err)
			h := opens{streams: make(chan *tandem.Stream, 1)}
			l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
			require.NoError(t, err)
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			defer c.Close()
			s := <-h.streams
			require.NoError(t, filter(unix.EPERM, []uint32{unix.SYS_IO_URING_REGISTER}))
			for range 3 {
				time.Sleep(20 * time.Millisecond) // the loop sleeps
				ran := make(chan struct{})
				require.NoError(t, s.Post(func() { close(ran) }))
				select {
				case <-ran:
				case <-time.After(5 * time.Second):
					require.Fail(t, "a posted function has not run after 5 s")
				}
			}
			require.NoError(t, tr.Close())
		})
	})
}

// Where locked memory is too short for rings, Auto means epoll, and says why.
func TestAutoWithoutLockedMemory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: it takes root to become another user")
	}
	inSandbox(t, func(t *testing.T) {
		user := 2_000_000 + os.Getpid()
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}))
		require.NoError(t, syscall.Setgid(user))
		require.NoError(t, syscall.Setuid(user))
		tr, err := tandem.Open(&tandem.Options{Loops: 2, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		assert.Equal(t, tandem.Epoll, tr.Info().Backend)
		assert.Contains(t, tr.Info().Reason, "locked memory")
		talk(t, tr)
		require.NoError(t, tr.Close())
	})
}
