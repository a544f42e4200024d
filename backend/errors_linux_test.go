package backend

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The error queue of a TCP socket is dropped, and what the peer has sent is not.
func TestDrainErrors(t *testing.T) {
	fd, peer := connectedTCP(t)
	require.False(t, DrainErrors(fd), "with an empty queue")
	const flags = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, flags))
	for range 3 {
		_, err := Send(fd, []byte("stamped"))
		require.NoError(t, err)
	}
	_, err := io.ReadFull(peer, make([]byte, 3*len("stamped")))
	require.NoError(t, err)
	_, err = peer.Write([]byte("answer"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return HasError(fd) && hasInput(fd) }, 5*time.Second, time.Millisecond)
	require.True(t, DrainErrors(fd))
	require.False(t, HasError(fd))
	got := make([]byte, 16)
	n, err := Recv(fd, got)
	require.NoError(t, err)
	require.Equal(t, "answer", string(got[:n]))
}

// The error of a connection is no entry of the queue, and stays.
func TestDrainErrorsLeavesTheError(t *testing.T) {
	fd, peer := connectedTCP(t)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	require.Eventually(t, func() bool { return HasError(fd) }, 5*time.Second, time.Millisecond)
	require.False(t, DrainErrors(fd))
	require.ErrorIs(t, TakeError(fd), unix.ECONNRESET)
}

// A Unix socket has no error queue; its bytes stay.
func TestDrainErrorsLeavesUnixSockets(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { CloseFD(pair[0]); CloseFD(pair[1]) })
	_, err = Send(pair[1], []byte("bytes"))
	require.NoError(t, err)
	require.False(t, DrainErrors(pair[0]))
	got := make([]byte, 16)
	n, err := Recv(pair[0], got)
	require.NoError(t, err)
	require.Equal(t, "bytes", string(got[:n]))
}

// connectedTCP returns a non-blocking descriptor and the peer that it is connected to. Both live as long as the test.
func connectedTCP(t *testing.T) (int, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	peer, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = peer.Close() })
	_ = peer.SetDeadline(time.Now().Add(10 * time.Second))
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	fd := -1
	require.NoError(t, raw.Control(func(original uintptr) { fd, err = Duplicate(int(original)) }))
	require.NoError(t, err)
	t.Cleanup(func() { CloseFD(fd) })
	return fd, peer.(*net.TCPConn)
}
