package backend

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenVsock is Listen for a vsock.
func listenVsock(address string, o ListenSocket) (Listening, error) {
	refuse := func(at net.Addr, err error) (Listening, error) {
		return Listening{}, &net.OpError{Op: "listen", Net: "vsock", Addr: at, Err: err}
	}
	addr, err := ParseVsockToListen(address)
	if err != nil {
		return refuse(nil, err)
	}
	fd := -1
	_, err = o.Persist(func() (net.Listener, error) {
		fd, err = boundVsock(addr, &o)
		return nil, err
	})
	if err != nil {
		return refuse(addr, err)
	}
	at, err := listenAddress(fd)
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, maxBacklog()))
	}
	if err != nil {
		CloseFD(fd)
		return refuse(addr, err)
	}
	return Listening{Descriptor: NewDescriptor(fd), Addr: at.NetAddr()}, nil
}

// boundVsock makes a socket that is bound to addr. With port 0 the kernel chooses one.
func boundVsock(addr *VsockAddr, o *ListenSocket) (int, error) {
	fd, err := newSocket(FromVsock(addr), false)
	if err != nil {
		return -1, err
	}
	bound := false
	defer func() {
		if !bound {
			CloseFD(fd)
		}
	}()
	conn := &hookConn{access: func(f func(uintptr)) error { f(uintptr(fd)); return nil }}
	defer conn.end()
	if err := o.control("vsock", addr.String(), conn); err != nil {
		return -1, err
	}
	sa, _ := sockaddr(BindToVsock(addr))
	switch err := unix.Bind(fd, sa); {
	case err == unix.EADDRNOTAVAIL && addr.CID == vsockLocal:
		return -1, fmt.Errorf("%w: %w", errNoLoopback, os.NewSyscallError("bind", err))
	case err != nil:
		return -1, os.NewSyscallError("bind", err)
	}
	bound = true
	return fd, nil
}

// errNoLoopback is why a machine cannot talk to itself.
var errNoLoopback = errors.New("the kernel has no local vsock: load the module vsock_loopback, of Linux 5.6")

// checkLoopback fails if an address is that of this machine's own vsock and there is none: the request would go to the host,
// from which no answer comes.
func checkLoopback(remote Address) error {
	if remote.Kind != VsockAddress || remote.vsock().CID != vsockLocal {
		return nil
	}
	fd, err := newSocket(remote, false)
	if err != nil {
		return err
	}
	defer CloseFD(fd)
	err = unix.Bind(fd, &unix.SockaddrVM{CID: vsockLocal, Port: unix.VMADDR_PORT_ANY})
	if err == unix.EADDRNOTAVAIL {
		return fmt.Errorf("%w: %w", errNoLoopback, os.NewSyscallError("bind", err))
	}
	return nil
}

var (
	errNoVsock     = fmt.Errorf("the kernel has no vsock: load the module vsock, or one for the hypervisor such as vmw_vsock_virtio_transport: %w", errors.ErrUnsupported)
	errNoMultipath = fmt.Errorf("the kernel has no MPTCP: set net.mptcp.enabled to 1, on Linux 5.6 or later with CONFIG_MPTCP; or use tcp: %w", errors.ErrUnsupported)
)

// isMultipath reports whether a socket is of MPTCP: SO_PROTOCOL, socket(7).
func isMultipath(fd int) bool {
	p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	return err == nil && p == unix.IPPROTO_MPTCP
}

// unreachable adds to the error of a connect why nothing is there.
func unreachable(remote Address, err error) error {
	if remote.Kind != VsockAddress || !errors.Is(err, syscall.ENODEV) {
		return err
	}
	return fmt.Errorf("the kernel has no vsock that leads to CID %d: %w", remote.vsock().CID, err)
}
