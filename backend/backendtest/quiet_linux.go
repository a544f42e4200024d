package backendtest

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// stamps has the kernel put a timestamp into a socket's error queue for everything that is sent.
func stamps(fd uintptr) error {
	const flags = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPING, flags)
}

// quietErrorQueues has streams in every state whose error queue is not empty. They sleep, do not take that for an error,
// and cost no threads in the kernel: a ring keeps one that it has once used.
func quietErrorQueues(e *Env) {
	if e.Network != "tcp" || e.Peers != nil {
		return // Unix sockets have no error queue
	}
	const streams = 3
	var states []quietState
	var all []*Hooks
	for _, one := range stuckStreams {
		if one.name == "paused, and the peer has reset" {
			continue // an end
		}
		t := e.Open(func(o *Options) { o.Loops = 1 })
		h := stamped(e, one.open)
		workers := kernelWorkers()
		var peers []Peer
		for range streams {
			_, p := e.PairOn(t, h, session.StreamOptions{AllowHalfClose: true, CloseTimeout: time.Hour, ReadBufferLimit: 16 << 10})
			peers = append(peers, p)
		}
		if one.peer != nil {
			time.Sleep(moment) // the streams are in their states
			for _, p := range peers {
				require.NoError(e, one.peer(p), one.name)
			}
		}
		time.Sleep(moment) // the kernel has had time to start threads
		assert.Less(e, kernelWorkers()-workers, streams, "threads of io_uring for %d streams, %s", streams, one.name)
		states = append(states, quietState{name: one.name + ", with an error queue", t: t})
		all = append(all, h)
	}
	e.sleeps(states)
	for i, h := range all {
		assert.Empty(e, h.closed, "streams that have ended, %s", states[i].name)
	}
}

// stamped is a handler of streams whose error queue is not empty, and which read nothing.
func stamped(e *Env, open func(*session.Stream)) *Hooks {
	h := NewHooks()
	h.Data = func(*session.Stream) {}
	h.Open = func(s *session.Stream) {
		raw, err := s.SyscallConn()
		assert.NoError(e, err)
		assert.NoError(e, raw.Control(func(fd uintptr) { assert.NoError(e, stamps(fd)) }))
		_, _ = s.Write([]byte("stamped"))
		if open != nil {
			open(s)
		}
	}
	return h
}

// errorQueueBeforeConnect has a dial's socket collect errors in its queue.
func errorQueueBeforeConnect(e *Env, o *session.DialOptions) {
	o.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			assert.NoError(e, stamps(fd))
			assert.NoError(e, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1))
		})
	}
}

// deafListener returns the address of a listening socket whose backlog is full, so that the kernel does not answer a
// connect; "" if that cannot be made here.
func (e *Env) deafListener() string {
	e.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(e, err)
	e.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(e, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(e, unix.Listen(fd, 0))
	sa, err := unix.Getsockname(fd)
	require.NoError(e, err)
	address := fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			require.True(e, strings.Contains(err.Error(), "timeout"), "%v", err)
			return address
		}
		e.Cleanup(func() { _ = c.Close() })
	}
	return ""
}
