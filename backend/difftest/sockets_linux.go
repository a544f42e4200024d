package difftest

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// receiveBuffer sets how much a socket receives without being read, in bytes; the kernel doubles it.
func receiveBuffer(fd uintptr, n int) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, n)
}

// failure is why a connection has failed, if it has.
func failure(c net.Conn) (err error) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	none := raw.Control(func(fd uintptr) {
		if n, e := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); e != nil {
			err = e
		} else if n != 0 {
			err = syscall.Errno(n)
		}
	})
	return errors.Join(none, err)
}

// discard reads what a socket holds, so that closing it causes no reset.
func discard(c syscall.RawConn) {
	p := make([]byte, 64<<10)
	_ = c.Read(func(fd uintptr) bool {
		for {
			if n, err := unix.Read(int(fd), p); n <= 0 && err != unix.EINTR {
				return true
			}
		}
	})
}
