package backend

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestSendRoomUnix fills a Unix socket, whose bytes the kernel does not count where it counts those of TCP.
func TestSendRoomUnix(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer CloseFD(fds[0])
	defer CloseFD(fds[1])
	d := NewDescriptor(fds[0])
	assert.Positive(t, SendRoom(d))
	for err == nil {
		_, err = unix.Write(fds[0], make([]byte, 16<<10))
	}
	require.Equal(t, unix.EAGAIN, err)
	assert.Zero(t, SendRoom(d), "nobody has read anything")
}
