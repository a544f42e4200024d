package backendtest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// stalePath makes a socket file at which nobody listens.
func (e *Env) stalePath() string {
	e.Helper()
	path := filepath.Join(e.TempDir(), "stale")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(e, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(e, dead.Close())
	return path
}

// alone checks that there is nothing beside a path, and nothing at it unless it is there.
func (e *Env) alone(path string, there bool) {
	e.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(e, err)
	var names []string
	for _, f := range entries {
		names = append(names, f.Name())
	}
	if there {
		assert.Equal(e, []string{filepath.Base(path)}, names, "files in the directory")
	} else {
		assert.Empty(e, names, "files in the directory")
	}
}

// abstractNames has files that are called as abstract sockets are.
func abstractNames(e *Env) {
	if !e.once() {
		return
	}
	e.chdir(e.TempDir())
	name := "@tandem-abstract-" + e.Name
	precious := func() error { return os.WriteFile(name, []byte("precious"), 0o600) }
	stale := func() error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "./" + name, Net: "unix"})
		if err == nil {
			l.SetUnlinkOnClose(false)
			err = l.Close()
		}
		return err
	}
	for what, create := range map[string]func() error{"a file": precious, "a stale socket": stale} {
		require.NoError(e, create())
		l := e.listenOn("unix", name, echo())
		_, err := e.Under().Listen("unix", name, NewHooks(), nil)
		e.inUse(err)
		e.pingPong(e.dialPlain(l.Addr()))
		require.NoError(e, l.Close())
		_, err = os.Lstat(name)
		assert.NoError(e, err, "%s is gone", what)
		_ = os.Remove(name)
	}
	l := e.listenOn("unix", "", echo()) // the kernel chooses an abstract name
	e.pingPong(e.dialPlain(l.Addr()))
	require.NoError(e, l.Close())
}

// oneHeir has several servers begin at once at a stale path.
func oneHeir(e *Env) {
	if !e.once() {
		return
	}
	servers := []*session.Engine{e.Open(nil), e.Open(nil), e.Open(nil)}
	for range 30 {
		path := e.stalePath()
		results := make([]error, len(servers))
		listeners := make([]session.Listener, len(servers))
		begin := make(chan struct{})
		var running sync.WaitGroup
		h := echo()
		h.env(e)
		for i, t := range servers {
			running.Go(func() {
				<-begin
				listeners[i], results[i] = t.Listen("unix", path, h, nil)
			})
		}
		close(begin)
		running.Wait()
		n := 0
		for i, err := range results {
			if err == nil {
				n++
				e.alone(path, true)
				p := e.dialPlain(listeners[i].Addr())
				e.pingPong(p)
				_ = p.Close()
				defer listeners[i].Close()
			} else {
				e.inUse(err)
			}
		}
		require.Equal(e, 1, n, "servers that listen at one path")
	}
}

// lockedPath has others in the way who are about to listen, or died when they were.
func lockedPath(e *Env) {
	if !e.once() {
		return
	}
	path := e.stalePath()
	lock := path + ".tandem-lock"
	held, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(e, err)
	require.NoError(e, syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	_, err = e.Under().Listen("unix", path, NewHooks(), nil)
	assert.ErrorIs(e, err, syscall.EADDRINUSE)
	assert.ErrorContains(e, err, lock)
	_, err = os.Lstat(path)
	assert.NoError(e, err, "the file was removed without the lock")

	_ = held.Close() // as the death of its process does: the file is left
	l := e.listenOn("unix", path, echo())
	e.pingPong(e.dialPlain(l.Addr()))
	e.alone(path, true)
	require.NoError(e, l.Close())
	e.alone(path, false)

	require.NoError(e, os.WriteFile(lock, []byte("somebody's"), 0o600))
	l = e.listenOn("unix", path, echo())
	require.NoError(e, l.Close())
	kept, err := os.ReadFile(lock)
	require.NoError(e, err, "a file that is not empty was removed")
	assert.Equal(e, "somebody's", string(kept))
}

// unixErrors has paths at which nobody can listen, and checks whether the errors say why.
func unixErrors(e *Env) {
	if !e.once() {
		return
	}
	dir := e.TempDir()
	file, dangling := filepath.Join(dir, "file"), filepath.Join(dir, "dangling")
	require.NoError(e, os.WriteFile(file, nil, 0o600))
	require.NoError(e, os.Symlink(filepath.Join(dir, "nowhere"), dangling))
	for _, c := range []struct {
		path  string
		errno syscall.Errno
		says  string
	}{
		{filepath.Join(dir, "missing", "s"), syscall.ENOENT, "missing"},
		{filepath.Join(file, "s"), syscall.ENOTDIR, file},
		{file, syscall.EADDRINUSE, "no socket"},
		{dir, syscall.EADDRINUSE, "no socket"},
		{dangling, syscall.EADDRINUSE, "symbolic link"},
		{filepath.Join(dir, strings.Repeat("long", 30)), syscall.EINVAL, "long"},
	} {
		_, err := e.Under().Listen("unix", c.path, NewHooks(), nil)
		var op *net.OpError
		require.ErrorAs(e, err, &op, c.path)
		assert.Equal(e, "listen", op.Op)
		assert.ErrorIs(e, err, c.errno, c.path)
		assert.ErrorContains(e, err, c.says)
	}
	for _, path := range []string{file, dangling} {
		_, err := os.Lstat(path)
		assert.NoError(e, err, "%s is gone", path)
	}
}

// otherDirectory closes a listener when the working directory is another than when it began.
func otherDirectory(e *Env) {
	if !e.once() {
		return
	}
	here, there := e.TempDir(), e.TempDir()
	e.chdir(here)
	l := e.listenOn("unix", "s", echo())
	e.chdir(there)
	theirs, err := net.Listen("unix", "s")
	require.NoError(e, err)
	defer theirs.Close()
	require.NoError(e, l.Close())
	_, err = os.Lstat(filepath.Join(there, "s"))
	assert.NoError(e, err, "the file of another listener is gone")
	_, err = os.Lstat(filepath.Join(here, "s"))
	assert.ErrorIs(e, err, os.ErrNotExist, "the listener's file is left")
}

// duplicates returns a Control function that keeps a descriptor of each socket that it sees.
func (e *Env) duplicates() (control func(string, string, syscall.RawConn) error, fds *[]int) {
	fds = new([]int)
	e.Cleanup(func() {
		for _, fd := range *fds {
			_ = unix.Close(fd)
		}
	})
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			var n int
			if n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
				*fds = append(*fds, n)
			}
		})
		return errors.Join(cerr, err)
	}, fds
}

// chdir changes the working directory until the rule ends. T.Chdir would keep a descriptor.
func (e *Env) chdir(dir string) {
	e.Helper()
	before, err := os.Getwd()
	require.NoError(e, err)
	require.NoError(e, os.Chdir(dir))
	e.Cleanup(func() { _ = os.Chdir(before) })
}
