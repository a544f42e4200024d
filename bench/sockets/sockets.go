//go:build linux

package sockets

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Resolve resolves the address that --addr names.
func Resolve(address string) (*net.TCPAddr, error) {
	if address == "" {
		return nil, errors.New("bad --addr: it is empty, want HOST:PORT")
	}
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("bad --addr %q: want HOST:PORT: %w", address, err)
	}
	return a, nil
}

// backlog is how many connections may wait to be accepted; the kernel cuts it to net.core.somaxconn.
const backlog = 4096

// Sockaddr converts a resolved address and returns its family.
func Sockaddr(a *net.TCPAddr) (unix.Sockaddr, int) {
	if ip := a.IP.To4(); ip != nil {
		return &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}, unix.AF_INET
	}
	to := &unix.SockaddrInet6{Port: a.Port}
	copy(to.Addr[:], a.IP.To16()) // nil stays the unspecified address
	return to, unix.AF_INET6
}

// Listen opens a non-blocking listening socket and returns its actual address.
func Listen(address string) (int, *net.TCPAddr, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return -1, nil, err
	}
	sa, family := Sockaddr(a)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, os.NewSyscallError("socket", err)
	}
	bound, err := bindAndListen(fd, sa)
	if err != nil {
		_ = unix.Close(fd)
		return -1, nil, &net.OpError{Op: "listen", Net: "tcp", Addr: a, Err: err}
	}
	return fd, bound, nil
}

func bindAndListen(fd int, sa unix.Sockaddr) (*net.TCPAddr, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if err := NoDelay(fd); err != nil { // accepted sockets inherit it
		return nil, err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	return TCPAddr(name)
}

// TCPAddr converts an address of the kernel.
func TCPAddr(name unix.Sockaddr) (*net.TCPAddr, error) {
	switch sa := name.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}, nil
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}, nil
	}
	return nil, fmt.Errorf("getsockname: unexpected family %T", name)
}

// Dial opens a non-blocking connection within at most d.
func Dial(a *net.TCPAddr, d time.Duration) (int, error) {
	sa, family := Sockaddr(a)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := connectWithin(fd, sa, d); err != nil {
		_ = unix.Close(fd)
		return -1, &net.OpError{Op: "dial", Net: "tcp", Addr: a, Err: err}
	}
	return fd, nil
}

func connectWithin(fd int, sa unix.Sockaddr, d time.Duration) error {
	err := unix.Connect(fd, sa)
	if errors.Is(err, unix.EINPROGRESS) {
		err = finishConnect(fd, time.Now().Add(d))
	}
	if err != nil {
		return os.NewSyscallError("connect", err)
	}
	return NoDelay(fd)
}

func finishConnect(fd int, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n > 0:
			e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
			if err != nil || e == 0 {
				return err
			}
			return unix.Errno(e)
		}
	}
}

// NoDelay disables the algorithm of Nagle.
func NoDelay(fd int) error {
	return os.NewSyscallError("setsockopt TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}
