package backendtest

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Sockets in states that package net has no words for.

// socketPair returns both ends of a connected pair of Unix sockets, non-blocking and close-on-exec: socketpair(2).
func socketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b"), nil
}

// shrinkBacklog leaves a listener room for one connection that nobody accepts: listen(2), which may be called again.
// The kernel then drops the SYN of every other one (TCP), or has it wait or fail with EAGAIN (Unix).
func shrinkBacklog(fd uintptr) error { return os.NewSyscallError("listen", unix.Listen(int(fd), 0)) }

// bound returns a TCP socket that is bound on 127.0.0.1 and does not listen, so that nobody else gets its port, and
// whoever dials it is refused.
func bound() (*os.File, *net.TCPAddr, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "bound")
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		_ = f.Close()
		return nil, nil, os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		_ = f.Close()
		return nil, nil, os.NewSyscallError("getsockname", err)
	}
	return f, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}, nil
}

// makeBlocking has an open file wait, and with it everybody who shares it.
func makeBlocking(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = c.Control(func(fd uintptr) { set = unix.SetNonblock(int(fd), false) })
	return errors.Join(err, set)
}
