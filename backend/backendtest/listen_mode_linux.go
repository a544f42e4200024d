package backendtest

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// unixMode listens with modes that the umask would not give, and looks at the socket right before bind(2), which gives the
// file no more than the socket has.
func unixMode(e *Env) {
	if !e.once() {
		return
	}
	for _, umask := range []int{0, 0o022, 0o777} {
		for _, mode := range []fs.FileMode{0o600, 0o660, 0o666, 0o777, 0o060} {
			before := syscall.Umask(umask)
			path := filepath.Join(e.TempDir(), "s")
			syscall.Umask(umask)
			var bound os.FileMode
			control := func(_, _ string, c syscall.RawConn) (err error) {
				cerr := c.Control(func(fd uintptr) {
					var st unix.Stat_t
					err = unix.Fstat(int(fd), &st)
					bound = fs.FileMode(st.Mode).Perm()
				})
				return errors.Join(cerr, err)
			}
			h := echo()
			h.env(e)
			l, err := e.Under().Listen("unix", path, h, &session.ListenOptions{UnixMode: mode, Control: control})
			syscall.Umask(before)
			require.NoError(e, err, "mode %#o, umask %#o", mode, umask)
			assert.Equal(e, mode, bound, "the mode of the socket before bind")
			info, err := os.Lstat(path)
			require.NoError(e, err)
			assert.Equal(e, fs.ModeSocket|mode, info.Mode(), "mode %#o, umask %#o", mode, umask)
			if os.Geteuid() == 0 || mode&0o200 != 0 {
				e.pingPong(e.dialPlain(l.Addr()))
			}
			require.NoError(e, l.Close())
			e.alone(path, false)
		}
	}
}

// unixModeStale replaces a stale file, whose mode is another.
func unixModeStale(e *Env) {
	if !e.once() {
		return
	}
	path := e.stalePath()
	require.NoError(e, os.Chmod(path, 0o777))
	l, err := e.Under().Listen("unix", path, NewHooks(), &session.ListenOptions{UnixMode: 0o640})
	require.NoError(e, err)
	info, err := os.Lstat(path)
	require.NoError(e, err)
	assert.Equal(e, fs.ModeSocket|0o640, info.Mode())
	require.NoError(e, l.Close())
	e.alone(path, false)
}

// unixModeRefused asks for modes that nothing can have.
func unixModeRefused(e *Env) {
	if !e.once() {
		return
	}
	theirs, err := net.Listen("unix", filepath.Join(e.TempDir(), "s"))
	require.NoError(e, err)
	defer theirs.Close()
	for _, c := range []struct {
		network, address string
		o                session.ListenOptions
		says             string
	}{
		{"unix", "@tandem-mode-" + e.Name, session.ListenOptions{UnixMode: 0o600}, "abstract"},
		{"unix", "", session.ListenOptions{UnixMode: 0o600}, "abstract"},
		{"unix", "\x00tandem", session.ListenOptions{UnixMode: 0o600}, "abstract"},
		{"tcp", "127.0.0.1:0", session.ListenOptions{UnixMode: 0o600}, "only a Unix socket"},
		{"unix", "", session.ListenOptions{UnixMode: 0o600, From: theirs.(*net.UnixListener)}, "From"},
		{"unix", filepath.Join(e.TempDir(), "s"), session.ListenOptions{UnixMode: 0o4755}, "permission bits"},
		{"unix", filepath.Join(e.TempDir(), "s"), session.ListenOptions{UnixMode: fs.ModeDir | 0o700}, "permission bits"},
	} {
		_, err := e.Under().Listen(c.network, c.address, NewHooks(), &c.o)
		e.opError(err, "listen", c.network)
		assert.ErrorContains(e, err, "ListenOptions.UnixMode")
		assert.ErrorContains(e, err, c.says)
	}
}
