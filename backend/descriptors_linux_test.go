package backend

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// loopback is any port of this host.
var loopback = Address{Kind: TCPAddress, IP: netip.MustParseAddrPort("127.0.0.1:0")}

const patience, step = 5 * time.Second, time.Millisecond

// Every descriptor that this package makes is close-on-exec and non-blocking from the beginning.
func TestDescriptorsAreCloseOnExec(t *testing.T) {
	check := func(what string, fd int, err error) int {
		t.Helper()
		require.NoError(t, err, what)
		t.Cleanup(func() { CloseFD(fd) })
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		require.NoError(t, err, what)
		require.NotZero(t, flags&unix.FD_CLOEXEC, "%s is not close-on-exec", what)
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		require.NoError(t, err, what)
		require.NotZero(t, flags&unix.O_NONBLOCK, "%s is blocking", what)
		return fd
	}
	socket := func() int {
		d, err := Linux{}.NewSocket(loopback, DialSocket{})
		return check("NewSocket", d.FD(), err)
	}
	at, err := Linux{}.Listen("tcp", "127.0.0.1:0", ListenSocket{Clock: SystemClock{}})
	l := check("Listen", at.FD(), err)
	for range 3 {
		_, err := Linux{}.BeginConnect(NewDescriptor(socket()), LocalAddress(l))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return hasInput(l) }, patience, step)
	fd, err := Accept(l)
	check("Accept", fd, err)
	fd, from, err := AcceptFrom(l)
	check("AcceptFrom", fd, err)
	require.Equal(t, RemoteAddress(fd), from)
	fd, from, err = AcceptShared(l)
	check("AcceptShared", fd, err)
	require.Equal(t, RemoteAddress(fd), from)
	fd, err = Duplicate(l)
	check("Duplicate", fd, err)
	e, err := NewEventFD()
	require.NoError(t, err)
	defer e.Close()
	flags, err := unix.FcntlInt(uintptr(e.FD()), unix.F_GETFD, 0)
	require.NoError(t, err)
	require.NotZero(t, flags&unix.FD_CLOEXEC, "NewEventFD is not close-on-exec")
}

// AcceptShared does not wait although somebody has made the open file blocking, and leaves it non-blocking.
func TestAcceptSharedDoesNotWait(t *testing.T) {
	at, err := Linux{}.Listen("tcp", "127.0.0.1:0", ListenSocket{Clock: SystemClock{}})
	require.NoError(t, err)
	l := at.FD()
	defer CloseFD(l)
	require.NoError(t, unix.SetNonblock(l, false))
	_, _, err = AcceptShared(l)
	require.ErrorIs(t, err, unix.EAGAIN)
	peer, err := Linux{}.NewSocket(loopback, DialSocket{})
	require.NoError(t, err)
	defer CloseFD(peer.FD())
	_, err = Linux{}.BeginConnect(peer, LocalAddress(l))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return hasInput(l) }, patience, step)
	fd, _, err := AcceptShared(l)
	require.NoError(t, err)
	CloseFD(fd)
	flags, err := unix.FcntlInt(uintptr(l), unix.F_GETFL, 0)
	require.NoError(t, err)
	require.NotZero(t, flags&unix.O_NONBLOCK)
}
