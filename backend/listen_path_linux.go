package backend

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// isPath reports whether the address of a Unix socket is a file: neither abstract nor chosen by the kernel, unix(7).
func isPath(address string) bool { return address != "" && address[0] != '@' && address[0] != 0 }

// socketFile is the file of a Unix socket, which the listener that created it removes.
type socketFile struct {
	path  string // "": it is gone
	info  os.FileInfo
	clock Clock
}

// created remembers the file that bind(2) has made at path. The working directory may change before it is removed.
func (b *binding) created(path string) {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if info, err := os.Lstat(path); err == nil {
		b.file = &socketFile{path, info, b.o.Clock}
	}
}

// remove removes the file, unless it is another by now. It may wait so long for others who are busy with the path.
func (f *socketFile) remove(patience time.Duration) {
	if f.path == "" {
		return
	}
	if lock, err := lockPath(f.path, lockPatience(patience), f.clock); err == nil {
		defer lock.release()
	}
	now, err := os.Lstat(f.path)
	if err == nil && os.SameFile(now, f.info) && now.ModTime().Equal(f.info.ModTime()) { // inode numbers are used again
		_ = os.Remove(f.path)
	}
	f.path = ""
}

// bindPath listens at a path. A socket file there at which nobody listens any longer is replaced.
//
// Between two that do this at once stands the lock: whoever holds it sees no socket of another's that is bound and does
// not listen yet, and nothing changes between its look and its removal. The kernel frees the lock of a process that
// dies in the middle, and what such a process has bound is stale.
func (b *binding) bindPath(path string) (net.Listener, error) {
	clock := b.o.Clock
	lock, err := lockPath(path, lockPatience(b.o.Patience), clock)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
	}
	defer lock.release()
	for end := clock.Now().Add(b.o.Patience); ; {
		ln, err := b.listen()
		if err == nil {
			ln.(*net.UnixListener).SetUnlinkOnClose(false)
			b.created(path)
			return ln, b.giveMode(path, ln)
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, err
		}
		switch who, why := occupant(path); {
		case who == nobody:
		case who == leaving && clock.Now().Before(end) && !b.o.givenUp():
			Sleep(clock, takenInterval)
		default:
			return nil, because(err, why)
		}
	}
}

// giveMode gives the file what the umask has kept from it. What limitMode has done keeps it from allowing too much before.
func (b *binding) giveMode(path string, ln net.Listener) error {
	if b.o.UnixMode == 0 {
		return nil
	}
	err := setMode(path, b.o.UnixMode)
	if err == nil {
		return nil
	}
	_ = ln.Close()
	if b.file != nil {
		_ = os.Remove(b.file.path)
		b.file = nil
	}
	return &net.OpError{Op: "listen", Net: "unix", Addr: ln.Addr(), Err: err}
}

// because puts a reason in front of the errno of a net.OpError.
func because(err error, why string) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	told := *op
	told.Err = fmt.Errorf("%s: %w", why, op.Err)
	return &told
}

// tenant is who has a path.
type tenant uint8

const (
	nobody  tenant = iota // it is free now
	leaving               // a process that is gone, and whose socket the kernel has not closed yet
	another               // a listener that lives, or a file that has to stay
)

// occupant finds out who has a path that is taken, and removes the file if it is a socket's to which nobody listens.
// The caller holds the lock.
func occupant(path string) (tenant, string) {
	before, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nobody, ""
	case err != nil:
		return another, err.Error()
	case before.Mode()&os.ModeSymlink != 0:
		return another, "there is a symbolic link"
	case before.Mode()&os.ModeSocket == 0:
		return another, "there is a file that is no socket"
	}
	dialer := net.Dialer{Timeout: time.Second}
	c, err := dialer.Dial("unix", path)
	if err == nil {
		defer c.Close()
		if listenerLeft(c.(*net.UnixConn)) {
			return leaving, "the process that listened there has just ended"
		}
		return another, "somebody listens there"
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return another, fmt.Sprintf("it cannot be told whether somebody listens there (%v)", err)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
		return another, "somebody has just begun to listen there"
	}
	if err := os.Remove(path); err != nil {
		return another, fmt.Sprintf("nobody listens there, and the file cannot be removed (%v)", err)
	}
	return nobody, ""
}

// listenerLeft reports whether the process that called listen(2) at the other end of c is gone.
func listenerLeft(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	left := false
	_ = raw.Control(func(fd uintptr) {
		peer, err := peerCredentials(int(fd))
		left = err == nil && processEnded(peer.PID)
	})
	return left
}
