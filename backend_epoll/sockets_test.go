//go:build linux

package epoll

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// stampedPair returns two connected TCP sockets. The first has something in its error queue.
func stampedPair(t *testing.T) (a, b int) {
	t.Helper()
	l := drivertest.Listen(t, 1)
	a = drivertest.Dial(t, l)
	b, err := backend.Accept(l)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(b) })
	require.NoError(t, unix.SetNonblock(a, true))
	drivertest.StampSends(t, a)
	drivertest.Send(t, a, []byte("stamped"))
	require.Eventually(t, func() bool { return backend.HasError(a) }, drivertest.Patience, time.Millisecond)
	return a, b
}

// turnsUntilQuiet polls until there are no events.
func turnsUntilQuiet(t *testing.T, d *Driver) {
	t.Helper()
	for deadline := time.Now().Add(drivertest.Patience); drivertest.Turn(t, d) > 0; {
		require.True(t, time.Now().Before(deadline), "the events do not end")
	}
}

// The driver empties an error queue without an event, whatever the interest in its socket.
func TestErrorQueueIsNoEvent(t *testing.T) {
	for name, want := range map[string]func(*Driver, *drivertest.Recorder){
		"nothing":   func(*Driver, *drivertest.Recorder) {},
		"receiving": func(d *Driver, o *drivertest.Recorder) { d.Receive(&o.Socket, true) },
		"sending": func(d *Driver, o *drivertest.Recorder) {
			for {
				if _, err := d.Send(&o.Socket, [][]byte{make([]byte, 1<<20)}); err == backend.ErrPending {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			forEachSleep(t, func(t *testing.T, d *Driver) {
				fd, _ := stampedPair(t)
				o := drivertest.Attach(t, d, fd)
				d.Changed(&o.Socket) // so that the kernel is told even without an interest
				want(d, o)
				drivertest.Turn(t, d)
				turnsUntilQuiet(t, d)
				assert.Zero(t, o.HangUps, "HungUp")
				assert.NoError(t, o.EndErr, "ReceiveEnded")
				assert.Empty(t, o.Sends, "Sent")
			})
		})
	}
}

// An entry in the error queue does not end a connect.
func TestErrorQueueWhileConnecting(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		fd, _ := stampedPair(t)
		o := drivertest.Attach(t, d, fd)
		d.Connect(&o.Socket)
		d.connected(&o.Socket, unix.EPOLLERR) // as while a connect is in progress
		assert.NotZero(t, o.Socket.State&connecting)
		assert.False(t, backend.HasError(fd), "the queue was not emptied")
		drivertest.Turn(t, d)
		assert.Zero(t, o.Socket.State&connecting, "a socket that is connected is writable")
	})
}

// visit connects to a listener, resets the connection, and returns the address that it came from.
func visit(t *testing.T, listener int) (from backend.Address) {
	t.Helper()
	to, err := unix.Getsockname(listener)
	require.NoError(t, err)
	c, err := net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to.(*unix.SockaddrInet4).Port})
	require.NoError(t, err)
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { from = backend.LocalAddress(int(fd)) }))
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	return from
}

// Accepted brings the peer's address, because nothing else can tell it if the peer has gone.
func TestAcceptTellsThePeer(t *testing.T) {
	for name, shared := range map[string]bool{"own": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			forEachSleep(t, func(t *testing.T, d *Driver) {
				l := drivertest.Listen(t, 8)
				require.NoError(t, unix.SetNonblock(l, !shared))
				from := visit(t, l)
				o := drivertest.Attach(t, d, l)
				o.Socket.Shared.Store(shared)
				d.Accept(&o.Socket, true)
				drivertest.Turn(t, d)
				require.Len(t, o.Conns, 1)
				require.NoError(t, o.AcceptErr)
				backend.CloseFD(o.Conns[0])
				assert.Equal(t, from, o.From)
				drivertest.Turn(t, d)
			})
		})
	}
}

// Child processes do not inherit the driver's own descriptors.
func TestDescriptorsAreCloseOnExec(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		for what, fd := range map[string]int{"epoll set": d.epfd, "eventfd": d.alarm.FD(), "timerfd": d.timer.FD()} {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC, what)
		}
	})
}
