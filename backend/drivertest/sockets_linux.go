package drivertest

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Attach attaches a descriptor, which stays the caller's. Nothing is received or accepted yet.
func Attach(t *testing.T, d backend.Driver, fd int) *Recorder {
	t.Helper()
	o := &Recorder{}
	o.Socket = backend.Socket{Descriptor: backend.NewDescriptor(fd), Owner: o}
	require.NoError(t, d.Attach(&o.Socket))
	return o
}

// Sockets returns a connected pair of Unix stream sockets, which do not block.
func Sockets(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(fds[0]); backend.CloseFD(fds[1]) })
	return fds[0], fds[1]
}

// Pair attaches one end of a pair, which receives, and returns the other.
func Pair(t *testing.T, d backend.Driver) (o *Recorder, peer int) {
	t.Helper()
	a, b := Sockets(t)
	o = Attach(t, d, a)
	d.Receive(&o.Socket, true)
	Turn(t, d)
	return o, b
}

// TCPPair attaches one end of a TCP connection. The other end has a deadline.
func TCPPair(t *testing.T, d backend.Driver) (*Recorder, *net.TCPConn) {
	t.Helper()
	l := Listen(t, 1)
	to, err := unix.Getsockname(l)
	require.NoError(t, err)
	c, err := net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to.(*unix.SockaddrInet4).Port})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(Patience)))
	fd, err := backend.Accept(l)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(fd) })
	return Attach(t, d, fd), c
}

// Listen returns a TCP socket that listens on the loopback interface and does not block.
func Listen(t *testing.T, backlog int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(fd) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(fd, backlog))
	return fd
}

// Dial returns a socket that is connected to a listener, and blocks.
func Dial(t *testing.T, listener int) int {
	t.Helper()
	to, err := unix.Getsockname(listener)
	require.NoError(t, err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(fd) })
	require.NoError(t, unix.Connect(fd, to))
	return fd
}

// StampSends makes the kernel put a timestamp into the error queue of a TCP socket for everything that it sends.
func StampSends(t *testing.T, fd int) {
	t.Helper()
	const flags = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, flags))
}

// Send sends all of p at once.
func Send(t *testing.T, fd int, p []byte) {
	t.Helper()
	n, err := backend.Send(fd, p)
	require.NoError(t, err)
	require.Equal(t, len(p), n, "bytes sent")
}

// Shut shuts a socket down; shutdown(2).
func Shut(t *testing.T, fd, how int) {
	t.Helper()
	require.NoError(t, unix.Shutdown(fd, how))
}
