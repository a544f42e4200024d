package backend

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// NewSocket implements Sockets.
func (Linux) NewSocket(remote Address, o DialSocket) (Descriptor, error) {
	_, family := sockaddr(remote)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Descriptor{}, os.NewSyscallError("socket", err)
	}
	done := false
	defer func() {
		if !done {
			CloseFD(fd)
		}
	}()
	if err := o.prepare(fd, remote); err != nil {
		return Descriptor{}, err
	}
	done = true
	return NewDescriptor(fd), nil
}

// prepare makes a socket ready to connect to remote: options, the user's Control, the local address.
func (o *DialSocket) prepare(fd int, remote Address) error {
	if remote.Kind == TCPAddress {
		if err := setDefaults(fd); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := setSocketOptions(fd, o.Options, OnDial); err != nil {
		return err
	}
	if o.Control != nil {
		conn := &hookConn{fd: fd}
		defer conn.end()
		if err := o.Control(familyOf(remote), remote.NetAddr().String(), conn); err != nil {
			return err
		}
	}
	if o.Local.Kind == NoAddress {
		return nil
	}
	sa, _ := sockaddr(o.Local)
	return os.NewSyscallError("bind", unix.Bind(fd, sa))
}

// setDefaults sets the options that package net sets on every TCP socket.
func setDefaults(fd int) error { return errors.Join(setNoDelay(fd), setKeepAlive(fd)) }

// familyOf is the network of an address as Control functions are told it.
func familyOf(a Address) string {
	switch {
	case a.Kind == UnixAddress:
		return "unix"
	case a.IP.Addr().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// BeginConnect implements Sockets.
func (Linux) BeginConnect(d Descriptor, remote Address) (connected bool, err error) {
	sa, _ := sockaddr(remote)
	switch err := unix.Connect(d.FD(), sa); err {
	case nil:
		return true, nil
	case unix.EINPROGRESS, unix.EINTR: // after a signal it goes on by itself, connect(2)
		return false, nil
	default:
		return false, os.NewSyscallError("connect", err)
	}
}

// hookConn is a socket that is going to connect, as Control functions get it. It is good until end, because the
// descriptor is closed at a time that the functions do not know, and may be somebody else's then.
type hookConn struct {
	mu sync.RWMutex // held while fd is used
	fd int          // -1 after the end
}

var _ syscall.RawConn = (*hookConn)(nil)

// Control implements syscall.RawConn.
func (c *hookConn) Control(f func(uintptr)) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(c.fd))
	return nil
}

// Read implements syscall.RawConn.
func (*hookConn) Read(func(uintptr) bool) error { return errors.ErrUnsupported }

// Write implements syscall.RawConn.
func (*hookConn) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

func (c *hookConn) end() {
	c.mu.Lock()
	c.fd = -1
	c.mu.Unlock()
}
