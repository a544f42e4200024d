//go:build linux

package epoll

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Error queues, the addresses of those who are accepted, and descriptors that nobody else may get.

// withStamps has the kernel put a timestamp into the error queue of a TCP socket for everything that is sent.
func withStamps(t *testing.T, fd int) {
	t.Helper()
	const flags = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, flags))
}

// stampedPair connects two TCP sockets, and fills the error queue of the first.
func stampedPair(t *testing.T) (a, b int) {
	t.Helper()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer backend.CloseFD(l)
	require.NoError(t, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(l, 1))
	to, err := unix.Getsockname(l)
	require.NoError(t, err)
	a, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(a) })
	require.NoError(t, unix.Connect(a, to))
	b, _, err = unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(b) })
	require.NoError(t, unix.SetNonblock(a, true))
	withStamps(t, a)
	send(t, a, "stamped")
	require.Eventually(t, func() bool { return backend.HasError(a) }, 5*time.Second, time.Millisecond)
	return a, b
}

// An error queue is emptied and reported to nobody, whatever is wanted from its socket.
func TestErrorQueueIsNoEvent(t *testing.T) {
	for name, want := range map[string]func(*Driver, *recorder){
		"nothing":   func(*Driver, *recorder) {},
		"receiving": func(d *Driver, o *recorder) { d.Receive(&o.sock, true) },
		"sending": func(d *Driver, o *recorder) {
			for {
				if _, err := d.Send(&o.sock, [][]byte{make([]byte, 1<<20)}); err == backend.ErrPending {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			forEachSleep(t, func(t *testing.T, d *Driver) {
				fd, _ := stampedPair(t)
				o := attach(t, d, fd)
				d.Changed(&o.sock) // so that the kernel is told also of nothing
				want(d, o)
				turn(t, d)
				assert.Eventually(t, func() bool { return turn(t, d) == 0 }, 5*time.Second, time.Millisecond, "events for ever")
				assert.Zero(t, o.broken, "Broken")
				assert.NoError(t, o.ended, "ReceiveEnded")
				assert.Zero(t, o.sent, "Sent")
			})
		})
	}
}

// A connect is not over because the error queue of its socket has something.
func TestErrorQueueWhileConnecting(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		fd, _ := stampedPair(t)
		o := attach(t, d, fd)
		d.Connect(&o.sock)
		d.connected(&o.sock, unix.EPOLLERR) // as of a connect that is under way
		assert.NotZero(t, o.sock.State&connecting)
		assert.False(t, backend.HasError(fd), "the queue was not emptied")
		turn(t, d)
		assert.Zero(t, o.sock.State&connecting, "a socket that is connected is writable")
	})
}

// accept4(2) tells the peer's address, which nobody could ask for any longer if the peer has gone.
func TestAcceptTellsThePeer(t *testing.T) {
	for _, shared := range []bool{false, true} {
		forEachSleep(t, func(t *testing.T, d *Driver) {
			l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // blocking, if it is shared
			require.NoError(t, err)
			t.Cleanup(func() { backend.CloseFD(l) })
			require.NoError(t, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
			require.NoError(t, unix.Listen(l, 8))
			require.NoError(t, unix.SetNonblock(l, !shared))
			to, err := unix.Getsockname(l)
			require.NoError(t, err)
			peer, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			require.NoError(t, unix.Connect(peer, to))
			from := backend.LocalAddress(peer)
			backend.ResetOnClose(peer)
			backend.CloseFD(peer)

			o := attach(t, d, l)
			o.sock.Shared = shared
			d.Accept(&o.sock, true)
			turn(t, d)
			require.GreaterOrEqual(t, o.fd, 0, "nothing was accepted")
			backend.CloseFD(o.fd)
			assert.Equal(t, from, o.from)
			turn(t, d)
		})
	}
}

// Programs that this one starts get none of the driver's own descriptors.
func TestDescriptorsAreCloseOnExec(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		for what, fd := range map[string]int{"epoll set": d.epfd, "eventfd": d.alarm.FD(), "timerfd": d.timer.fd} {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC, what)
		}
	})
}
