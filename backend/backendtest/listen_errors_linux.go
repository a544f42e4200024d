package backendtest

import (
	"net"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// failedListener checks that a listener ends by itself with an errno.
func (e *Env) failedListener(l session.Listener, errno syscall.Errno) {
	e.Helper()
	e.Eventually(func() bool { return l.Err() != nil }, "the listener ends")
	var op *net.OpError
	require.ErrorAs(e, l.Err(), &op)
	assert.Equal(e, "accept", op.Op)
	assert.ErrorIs(e, l.Err(), errno)
	s := l.Stats()
	assert.Zero(e, s.Backoffs, "times that it waited for resources")
	require.NoError(e, l.Close())
	assert.ErrorIs(e, l.Err(), errno, "after Close")
}

// socketShutDown has somebody shut a listening socket down: it accepts nothing any longer, and gives EINVAL for ever.
func socketShutDown(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	t, log := e.openLogging(nil)
	control, fds := e.duplicates()
	h, other := echo(), echo()
	h.env(e)
	other.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{Control: control})
	require.NoError(e, err)
	lives, err := t.Listen(e.Network, e.Address(), other, nil)
	require.NoError(e, err)
	require.NoError(e, l.Err())
	p := e.Connect(l.Addr())
	h.Opened()
	require.NoError(e, unix.Shutdown((*fds)[0], unix.SHUT_RDWR))
	if e.Network == "unix" && e.quietlyShutDown(t, l) {
		return
	}
	e.failedListener(l, syscall.EINVAL)
	e.logged(log, "level=ERROR")
	if e.Network == "unix" {
		_, err := os.Lstat(l.Addr().String())
		assert.ErrorIs(e, err, os.ErrNotExist, "the socket's file is left")
	}
	e.pingPong(p)
	e.pingPong(e.Connect(lives.Addr()))
	require.NoError(e, lives.Close())
	assert.ErrorIs(e, lives.Err(), net.ErrClosed)
}

// quietlyShutDown reports whether nobody is told that a Unix socket was shut down: accept(2) says only that there is
// nothing, and the kernel wakes nobody. Where it shows all the same, as in epoll(7), the listener has to end, and nowhere
// may a loop spin.
func (e *Env) quietlyShutDown(t *session.Engine, l session.Listener) bool {
	e.Helper()
	before := t.Stats().Turns
	l.PauseAccept()
	time.Sleep(moment)
	l.ResumeAccept()
	time.Sleep(moment)
	quiet := l.Err() == nil
	assert.Less(e, t.Stats().Turns-before, uint64(100), "turns of loops that have nothing to do")
	return quiet
}

// oneSocketShutDown has a listener of two sockets, which lives as long as one of them does.
func oneSocketShutDown(e *Env) {
	if !e.once() {
		return
	}
	t, log := e.openLogging(func(o *Options) { o.Balance = session.ReusePort })
	control, fds := e.duplicates()
	h := echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{Control: control})
	require.NoError(e, err)
	require.Len(e, *fds, 2)
	require.NoError(e, unix.Shutdown((*fds)[0], unix.SHUT_RDWR))
	e.Eventually(func() bool { return l.Stats().Errors == 1 }, "the end of one socket")
	for range 10 {
		e.pingPong(e.Connect(l.Addr()))
	}
	require.NoError(e, l.Err())
	e.logged(log, "level=ERROR")
	require.NoError(e, unix.Shutdown((*fds)[1], unix.SHUT_RDWR))
	e.failedListener(l, syscall.EINVAL)
}

// pausedInScarcity pauses a listener that waits for descriptors.
func pausedInScarcity(e *Env) {
	if !e.once() || e.Beside != "" {
		return // the descriptors of the bystanders are in the way
	}
	limitFiles(e)
	t := e.Open(func(o *Options) { o.Loops = 1 })
	h := echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(e, err)
	e.Cleanup(func() { _ = unix.Close(fd) })
	free := takeAllFiles(e)
	to := l.Addr().(*net.TCPAddr)
	require.NoError(e, unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}))
	e.Eventually(func() bool { return l.Stats().Backoffs >= 2 }, "the listener backs off")
	l.PauseAccept()
	var before uint64
	e.Eventually(func() bool { // an attempt may be under way
		now := l.Stats().Errors
		still := now == before
		before = now
		time.Sleep(moment)
		return still && l.Stats().Errors == before
	}, "the end of the attempts")
	free()
	time.Sleep(moment)
	require.Zero(e, h.Count("OnOpen"), "streams opened in a pause")
	l.ResumeAccept()
	h.Opened()
	require.NoError(e, l.Close())
}
