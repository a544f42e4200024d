package tandem_test

import (
	"encoding/binary"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/polled"
)

// TestNotifyByEventfd has the owner of a polled session sleep in poll(2), as a program with a loop of its own does.
func TestNotifyByEventfd(t *testing.T) {
	backends(t, func(t *testing.T, backend tandem.Backend) {
		tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		defer tr.Close()
		l, err := tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
		require.NoError(t, err)
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		require.NoError(t, err)
		defer unix.Close(fd)
		s, err := polled.Connect(tr, "tcp", l.Addr().String(), nil)
		require.NoError(t, err)
		defer s.Close()
		one := binary.NativeEndian.AppendUint64(nil, 1)
		require.NoError(t, s.Notify(func() { _, _ = unix.Write(fd, one) }))

		const messages = 100
		for sent, came := 0, 0; came < messages*5; {
			activity, err := s.Drive()
			require.NoError(t, err)
			p, status, err := s.Read()
			require.NoError(t, err)
			came += len(p)
			if sent*5 == came && sent < messages {
				_, status, err := s.Write([]byte("hello"))
				require.NoError(t, err)
				if status == polled.Success {
					sent++
				}
			}
			if activity == polled.Active || status != polled.None {
				continue
			}
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20_000)
			if err == unix.EINTR {
				continue
			}
			require.NoError(t, err)
			require.Equal(t, 1, n, "nobody was woken, after %d of %d bytes", came, sent*5)
			_, err = unix.Read(fd, make([]byte, 8))
			assert.NoError(t, err)
		}
	})
}
