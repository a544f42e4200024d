package backend

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Linux is the Sockets of Linux. Every driver for Linux embeds it.
type Linux struct{}

var _ Sockets = Linux{}

// TrySend implements Sockets.
func (Linux) TrySend(d Descriptor, p []byte) (int, error) {
	n, err := Send(d.FD(), p)
	if err == unix.EAGAIN {
		return 0, nil
	}
	return n, err
}

// TrySendVector implements Sockets.
func (Linux) TrySendVector(d Descriptor, bufs [][]byte) (int, error) {
	n, err := SendVector(d.FD(), bufs)
	if err == unix.EAGAIN {
		return 0, nil
	}
	return n, err
}

// TryReceive implements Sockets.
func (Linux) TryReceive(d Descriptor, p []byte) (int, error) {
	switch n, err := Recv(d.FD(), p); {
	case err == unix.EAGAIN:
		return 0, nil
	case n == 0 && err == nil:
		return 0, io.EOF
	default:
		return n, err
	}
}

// ShutdownWrite implements Sockets.
func (Linux) ShutdownWrite(d Descriptor) error { return rawShutdown(d.FD(), unix.SHUT_WR) }

// CloseSocket implements Sockets. Where a seccomp filter refuses close(2), the descriptor stays, and the peer learns of
// the end all the same.
func (Linux) CloseSocket(d Descriptor, how Closing) {
	if how.Reset {
		resetOnClose(d.FD())
	}
	if how.Discard > 0 {
		discard(d.FD(), how.Discard)
	}
	if !closeFD(d.FD()) {
		return
	}
	if how.Reset {
		disconnect(d.FD())
	}
	_ = rawShutdown(d.FD(), unix.SHUT_RDWR)
}

// TakeError implements Sockets. A socket without POLLERR has not failed: what TakeError would return of it is an error
// from which TCP recovers.
func (Linux) TakeError(d Descriptor) error {
	if !HasError(d.FD()) {
		return nil
	}
	return TakeError(d.FD())
}

// HasInput implements Sockets.
func (Linux) HasInput(d Descriptor) bool { return hasInput(d.FD()) }

// Unsent implements Sockets.
func (Linux) Unsent(d Descriptor) int { return unsent(d.FD()) }

// LocalAddress implements Sockets.
func (Linux) LocalAddress(d Descriptor) Address { return LocalAddress(d.FD()) }

// RemoteAddress implements Sockets.
func (Linux) RemoteAddress(d Descriptor) Address { return RemoteAddress(d.FD()) }

// PeerCredentials implements Sockets.
func (Linux) PeerCredentials(d Descriptor) (PeerCredentials, error) { return peerCredentials(d.FD()) }

// SetOptions implements Sockets.
func (Linux) SetOptions(d Descriptor, options []SocketOption, at SocketPlace) error {
	return setSocketOptions(d.FD(), options, at)
}

// Option implements Sockets.
func (Linux) Option(d Descriptor, o SocketOption) (SocketOption, error) {
	return GetSocketOption(d.FD(), o)
}

// Control implements Sockets.
func (Linux) Control(d Descriptor, f func(fd uintptr)) { f(uintptr(d.FD())) }

// Adopt implements Sockets. A lingering close would stop the loop for its time, socket(7).
func (Linux) Adopt(c syscall.Conn) (Descriptor, Address, error) {
	fd, err := duplicate(c)
	if err != nil {
		return Descriptor{}, Address{}, err
	}
	remote := RemoteAddress(fd)
	if remote.Kind == NoAddress || !isStream(fd) {
		CloseFD(fd)
		return Descriptor{}, Address{}, fmt.Errorf("not a connected TCP or Unix stream socket: %w", unix.ENOTCONN)
	}
	_ = setSocketOptions(fd, []SocketOption{Linger(-1)}, OnStream)
	return NewDescriptor(fd), remote, nil
}

// duplicate returns a non-blocking descriptor for the socket of c.
func duplicate(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(original uintptr) { fd, dupErr = Duplicate(int(original)) }); err != nil {
		return -1, err
	}
	return fd, dupErr
}

// HandOver implements Sockets.
func (Linux) HandOver(d Descriptor) (net.Conn, error) {
	own, err := Duplicate(d.FD())
	if err != nil {
		return nil, err
	}
	if LocalAddress(own).Kind == VsockAddress { // package net does not know it
		return Linux{}.Conn(NewDescriptor(own), ConnOwner{Network: "vsock", In: new(atomic.Uint64), Out: new(atomic.Uint64)})
	}
	file := os.NewFile(uintptr(own), "detached")
	defer file.Close()
	restore := saveOptions(d.FD())  // package net sets its own defaults
	conn, err := net.FileConn(file) // duplicates the descriptor once more
	if err != nil {
		return nil, err
	}
	restore()
	return conn, nil
}

// HungUp implements Sockets.
func (Linux) HungUp(c net.Conn) (over bool) {
	_ = withRaw(c, func(fd int) { over = ready(fd, unix.POLLHUP) })
	return over
}

// DiscardInput implements Sockets.
func (Linux) DiscardInput(c net.Conn, limit int) {
	_ = withRaw(c, func(fd int) { discard(fd, limit) })
}

// withRaw calls f with the descriptor of a connection of package net.
func withRaw(c net.Conn, f func(fd int)) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}
