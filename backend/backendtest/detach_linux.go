package backendtest

import (
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

var detachRulesLinux = []Rule{
	{"S20_RawConnWhileEnding", rawConnWhileEnding},
	{"S20_RawConnReenters", rawConnReenters},
	{"S30_DetachTooManyFiles", detachTooManyFiles},
	{"S30_DetachKeepsOptions", detachKeepsOptions},
}

// detachTooManyFiles detaches where there is no descriptor to spare, and where there is one too few. The stream lives on.
func detachTooManyFiles(e *Env) {
	for _, spare := range []int{0, 1} {
		h := echo()
		s, p := e.Pair(h, session.StreamOptions{})
		e.pingPong(p)
		limitFiles(e)
		free := takeAllFiles(e)
		for range spare {
			freeOneFile(e)
		}
		e.onLoop(s, func() {
			c, err := s.Detach()
			var op *net.OpError
			if assert.ErrorAs(e, err, &op, "with %d descriptors to spare", spare) {
				assert.Equal(e, "detach", op.Op)
				assert.ErrorIs(e, err, syscall.EMFILE)
			}
			assert.Nil(e, c)
		})
		e.pingPong(p)
		h.StillOpen()
		free()
		c, err := s.Detach()
		require.NoError(e, err)
		h.closedWith(nil)
		require.NoError(e, c.Close())
	}
}

// freeOneFile makes room for one more descriptor.
func freeOneFile(e *Env) {
	e.Helper()
	var limit unix.Rlimit
	require.NoError(e, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur++
	require.NoError(e, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

// detachKeepsOptions compares the options of a socket before and after. Packages os and net set some of their own.
func detachKeepsOptions(e *Env) {
	if e.Network != "tcp" {
		return
	}
	options := map[string][2]int{
		"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}, "SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		"TCP_KEEPIDLE": {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}, "TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
		"TCP_KEEPCNT": {unix.IPPROTO_TCP, unix.TCP_KEEPCNT}, "SO_SNDBUF": {unix.SOL_SOCKET, unix.SO_SNDBUF},
		"SO_RCVBUF": {unix.SOL_SOCKET, unix.SO_RCVBUF}, "TCP_USER_TIMEOUT": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
		"SO_PRIORITY": {unix.SOL_SOCKET, unix.SO_PRIORITY},
	}
	read := func(from syscall.Conn) map[string]int {
		values := map[string]int{}
		raw, err := from.SyscallConn()
		require.NoError(e, err)
		require.NoError(e, raw.Control(func(fd uintptr) {
			for name, o := range options {
				v, err := unix.GetsockoptInt(int(fd), o[0], o[1])
				assert.NoError(e, err, name)
				values[name] = v
			}
		}))
		return values
	}
	for what, set := range map[string][]backend.SocketOption{
		"as they are": nil,
		"changed": {backend.NoDelay(false), backend.KeepAlive(100*time.Second, 50*time.Second, 3), backend.SendBuffer(50_000),
			backend.UserTimeout(5 * time.Second)},
		"no keep-alive": {backend.KeepAliveOff()},
	} {
		e.Scenario(what, func() {
			h := NewHooks()
			s, _ := e.Pair(h, session.StreamOptions{})
			for _, o := range set {
				require.NoError(e, s.SetSocketOption(o))
			}
			before := read(s)
			c, err := s.Detach()
			require.NoError(e, err)
			h.closedWith(nil)
			assert.Equal(e, before, read(c.(syscall.Conn)), "the socket's options, %s", what)
			require.NoError(e, c.Close())
		})
	}
}

// rawConnWhileEnding ends streams while functions of the user's have their descriptor.
func rawConnWhileEnding(e *Env) {
	for what, end := range map[string]func(*session.Stream, Peer){
		"Abort":  func(s *session.Stream, _ Peer) { _ = s.Abort() },
		"Close":  func(s *session.Stream, _ Peer) { _ = s.Close() },
		"reset":  func(_ *session.Stream, p Peer) { _ = p.Reset() },
		"Detach": func(s *session.Stream, _ Peer) { c, _ := s.Detach(); _ = c.Close() },
	} {
		e.Scenario(what, func() {
			h := NewHooks()
			s, p := e.resettable(e.Under(), h, session.StreamOptions{})
			raw, err := s.SyscallConn()
			require.NoError(e, err)
			const holders = 2
			got, done := make(chan uintptr, holders), make(chan error, holders)
			var release [holders]chan struct{}
			for i := range release {
				release[i] = make(chan struct{})
				go func() { done <- raw.Control(func(fd uintptr) { got <- fd; await(release[i]) }) }()
			}
			fd := arrives(e, got)
			require.Equal(e, fd, arrives(e, got))
			socket := fileOf(fd)
			end(s, p)
			h.Closed()
			assert.ErrorIs(e, raw.Control(func(uintptr) { e.Error("a function got the descriptor of a stream that has ended") }), net.ErrClosed)
			others := e.openSome(20)
			assert.NotContains(e, others, fd, "%s: descriptors that were opened meanwhile", what)
			for i := range release {
				assert.Equal(e, socket, fileOf(fd), "%s: the socket, while a function has it", what)
				close(release[i])
				require.NoError(e, arrives(e, done))
			}
			assert.NotEqual(e, socket, fileOf(fd), "%s: the descriptor, when all functions have returned", what)
			if what == "Abort" {
				_, err := readOn(p).all(e)
				assert.True(e, e.isReset(err), "the peer sees %v", err)
			}
		})
	}
}

// fileOf is what a descriptor refers to, or nothing.
func fileOf(fd uintptr) string {
	target, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(fd)))
	return target
}

// openSome opens files, and returns their descriptors. They are closed at the end.
func (e *Env) openSome(n int) (fds []uintptr) {
	for range n {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		require.NoError(e, err)
		e.Cleanup(func() { _ = unix.Close(fd) })
		fds = append(fds, uintptr(fd))
	}
	return fds
}

// rawConnReenters uses the stream in functions that have its descriptor, as package net allows.
func rawConnReenters(e *Env) {
	for what, use := range map[string]func(*session.Stream){
		"RemoteAddr": func(s *session.Stream) { _ = s.RemoteAddr() },
		"Write":      func(s *session.Stream) { _, _ = s.Write([]byte("x")); _ = s.Flush() },
		"options":    func(s *session.Stream) { _, _ = s.SocketOption(backend.SendBuffer(1)) },
		"Control": func(s *session.Stream) {
			raw, err := s.SyscallConn()
			if assert.NoError(e, err) {
				assert.NoError(e, raw.Control(func(uintptr) {}))
			}
		},
		"Close":  func(s *session.Stream) { _ = s.Close() },
		"Abort":  func(s *session.Stream) { _ = s.Abort() },
		"Detach": func(s *session.Stream) { c, _ := s.Detach(); _ = c.Close() },
		"panic":  func(*session.Stream) { panic("on purpose") },
	} {
		e.Scenario(what, func() {
			for _, inside := range []bool{true, false} {
				h := NewHooks()
				s, p := e.Pair(h, session.StreamOptions{})
				control := func() {
					defer func() {
						if v := recover(); v != nil && inside {
							panic(v)
						}
					}()
					raw, err := s.SyscallConn()
					if assert.NoError(e, err) {
						_ = raw.Control(func(uintptr) { use(s) })
					}
				}
				e.within(what+" inside Control", func() {
					if inside {
						e.onLoop(s, control)
					} else {
						control()
					}
				})
				_ = s.Close()
				h.Closed()
				_ = p.Close()
			}
		})
	}
}
