package backendtest

import (
	"net"
	"path/filepath"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

var listenRulesLinux = []Rule{
	{"S25_AbstractNames", abstractNames},
	{"S25_OneHeir", oneHeir},
	{"S25_LockedPath", lockedPath},
	{"S25_UnixErrors", unixErrors},
	{"S25_OtherDirectory", otherDirectory},
	{"S25_UnixMode", unixMode},
	{"S25_UnixModeStale", unixModeStale},
	{"S25_UnixModeRefused", unixModeRefused},
	{"S25_Backlog", backlog},
	{"S27_SocketShutDown", socketShutDown},
	{"S27_OneSocketShutDown", oneSocketShutDown},
	{"S29_PausedInScarcity", pausedInScarcity},
}

// backlog counts how many may connect to a listener that accepts nothing.
func backlog(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	s, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	h := NewHooks()
	h.env(e)
	path := filepath.Join(e.TempDir(), "s")
	l, err := t.Listen("unix", path, h, &session.ListenOptions{Backlog: 2})
	require.NoError(e, err)
	l.PauseAccept()
	for range 3 { // turns: the pause has come to the kernel
		e.turn(s)
	}
	n := 0
	for ; n < 100; n++ {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		require.NoError(e, err)
		e.Cleanup(func() { _ = unix.Close(fd) })
		if unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == unix.EAGAIN {
			break
		}
	}
	assert.Equal(e, 3, n, "connections that may wait with a backlog of 2: Linux lets one more")
	l.ResumeAccept()
	for range n {
		h.Opened()
	}
	require.NoError(e, l.Close())

	theirs, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e, err)
	defer theirs.Close()
	l, err = t.Listen("tcp", "", h, &session.ListenOptions{From: theirs.(*net.TCPListener), Backlog: 7})
	require.NoError(e, err)
	raw, err := theirs.(*net.TCPListener).SyscallConn()
	require.NoError(e, err)
	require.NoError(e, raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if assert.NoError(e, err) {
			assert.EqualValues(e, 7, info.Sacked, "the backlog of a socket that listens, ss(8)")
		}
	}))
	require.NoError(e, l.Close())
}
