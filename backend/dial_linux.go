package backend

import (
	"errors"
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
