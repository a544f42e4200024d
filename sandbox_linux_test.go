package tandem_test

import (
	"log/slog"
	"net"
	"os"
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

// opens reports what OnOpen was called for.
type opens struct {
	tandem.BaseHandler
	streams chan *tandem.Stream
}

func (o opens) OnOpen(s *tandem.Stream) { o.streams <- s }

// A program forbids itself io_uring_register(2) after Open, as sandboxes do. A loop that sleeps can still be woken.
func TestWakeUpWithoutRegister(t *testing.T) {
	backends(t, func(t *testing.T, backend tandem.Backend) {
		process{}.run(t, func(t *testing.T) {
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
	process{}.run(t, func(t *testing.T) {
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
