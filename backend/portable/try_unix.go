//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package portable

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Calls that try and never wait, on a descriptor that somebody keeps open meanwhile. MSG_DONTWAIT: O_NONBLOCK belongs to
// the open file, and others who share it may clear it.

const canTry = true

// errAgain is the error of a call that would have to wait.
const errAgain = unix.EAGAIN

// receiveByUnix is recv(2), with io.EOF at the end of the stream.
func receiveByUnix(fd uintptr, p []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(int(fd), p, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// sendByUnix is sendmsg(2).
func sendByUnix(fd uintptr, bufs [][]byte) (int, error) {
	for {
		n, err := unix.SendmsgBuffers(int(fd), bufs, nil, nil, unix.MSG_DONTWAIT|noSignal)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// ready reports what of events poll(2) shows.
func ready(fd uintptr, events int16) int16 {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	if _, err := unix.Poll(p[:], 0); err != nil {
		return 0
	}
	return p[0].Revents & events
}

// hasInput reports whether there is something to receive.
func hasInput(fd uintptr) bool { return ready(fd, unix.POLLIN) != 0 }

// hasFailed reports whether the connection has an error.
func hasFailed(fd uintptr) bool { return ready(fd, unix.POLLERR) != 0 }

// hasEnded reports whether the connection is over in both directions, or has an error.
func hasEnded(fd uintptr) bool { return ready(fd, unix.POLLHUP|unix.POLLERR) != 0 }

// takeError returns the pending error of a socket, once: SO_ERROR.
func takeError(fd uintptr) error {
	e, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if e != 0 {
		return syscall.Errno(e)
	}
	return nil
}

// setBacklog is listen(2) of a socket that listens already.
func setBacklog(fd uintptr, n int) error {
	return os.NewSyscallError("listen", unix.Listen(int(fd), n))
}

// duplicateFile returns a file of its own for the socket of c.
func duplicateFile(c syscall.Conn) (*os.File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	own, dupErr := -1, error(nil)
	if err := raw.Control(func(fd uintptr) { own, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr == nil {
		dupErr = unix.SetNonblock(own, true)
	}
	if dupErr != nil {
		if own >= 0 {
			_ = unix.Close(own)
		}
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	return os.NewFile(uintptr(own), "socket"), nil
}
