package tandem_test

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// spareSockets makes sockets whose numbers are above what a process with few descriptors is given, so that a server in the
// same process has the low ones for itself.
func spareSockets(t *testing.T, n int) (sockets []int) {
	t.Helper()
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 1000)
		require.NoError(t, err)
		require.NoError(t, unix.Close(fd))
		sockets = append(sockets, high)
	}
	return sockets
}

// TestMaxConnsByDescriptors has more peers connect than a process with an ordinary, low limit of descriptors can have.
// They wait, and accept never fails.
func TestMaxConnsByDescriptors(t *testing.T) {
	backends(t, func(t *testing.T, backend tandem.Backend) {
		process{}.run(t, func(t *testing.T) {
			const descriptors, want, peers = 256, 192, 230
			sockets := spareSockets(t, peers)
			require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: descriptors, Max: descriptors}))
			var log bytes.Buffer
			tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
				t.Skipf("NOT TESTED: %v", err)
			}
			require.NoError(t, err)
			assert.Equal(t, want, tr.Info().MaxConns)
			assert.Contains(t, log.String(), "max_conns=192")
			l, err := tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
			require.NoError(t, err)
			assert.Equal(t, want, l.Stats().MaxConns)
			to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: l.Addr().(*net.TCPAddr).Port}
			for i, fd := range sockets {
				require.NoError(t, unix.Connect(fd, to), "peer %d", i)
			}
			streams := func(n uint64) {
				t.Helper()
				require.Eventually(t, func() bool { return tr.Stats().Opened == n && l.Stats().Streams == want }, 10*time.Second, time.Millisecond,
					"%d streams that were opened, of which %d are open", n, want)
			}
			streams(want)
			f, err := os.Open("/dev/null")
			require.NoError(t, err, "no descriptor is left for a file")
			require.NoError(t, f.Close())
			for _, fd := range sockets[:peers-want] {
				require.NoError(t, unix.Close(fd))
			}
			streams(peers)
			assert.Zero(t, l.Stats().Backoffs, "accepts that found no descriptor")
			assert.Zero(t, l.Stats().Errors, "accepts that failed")
			require.NoError(t, tr.Close())
		})
	})
}

// TestMaxConnsWithoutLimit has a negative MaxConns.
func TestMaxConnsWithoutLimit(t *testing.T) {
	backends(t, func(t *testing.T, backend tandem.Backend) {
		tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		defer tr.Close()
		l, err := tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, &tandem.ListenOptions{MaxConns: -1})
		require.NoError(t, err)
		assert.Zero(t, l.Stats().MaxConns)
	})
}
