package backend

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NewSocket implements Sockets.
func (Linux) NewSocket(remote Address, o DialSocket) (Descriptor, error) {
	if err := checkLoopback(remote); err != nil {
		return Descriptor{}, err
	}
	fd, err := newSocket(remote, o.Multipath)
	if err != nil {
		return Descriptor{}, err
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

// newSocket makes a stream socket for an address, with MPTCP or without.
func newSocket(of Address, multipath bool) (int, error) {
	_, family := sockaddr(of)
	protocol := 0
	if multipath {
		protocol = unix.IPPROTO_MPTCP
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err == nil {
		return fd, nil
	}
	named := os.NewSyscallError("socket", err)
	switch {
	case multipath && (err == unix.ENOPROTOOPT || err == unix.EPROTONOSUPPORT || err == unix.EINVAL):
		return -1, fmt.Errorf("%w (%w)", errNoMultipath, named)
	case of.Kind == VsockAddress && err == unix.EAFNOSUPPORT:
		return -1, fmt.Errorf("%w (%w)", errNoVsock, named)
	}
	return -1, named
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
	if err := o.CallControl(remote, func(f func(uintptr)) error { f(uintptr(fd)); return nil }); err != nil {
		return err
	}
	if o.Local.Kind == NoAddress {
		return nil
	}
	sa, _ := sockaddr(o.Local)
	return os.NewSyscallError("bind", unix.Bind(fd, sa))
}

// setDefaults sets the options that package net sets on every TCP socket.
func setDefaults(fd int) error { return errors.Join(setNoDelay(fd), setKeepAlive(fd)) }

// BeginConnect implements Sockets.
func (Linux) BeginConnect(d Descriptor, remote Address) (connected bool, err error) {
	sa, _ := sockaddr(remote)
	switch err := unix.Connect(d.FD(), sa); err {
	case nil:
		return true, nil
	case unix.EINPROGRESS, unix.EINTR: // after a signal it goes on by itself, connect(2)
		return false, nil
	default:
		return false, unreachable(remote, os.NewSyscallError("connect", err))
	}
}
