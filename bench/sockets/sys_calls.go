//go:build linux

package sockets

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below enter the kernel without informing the Go scheduler. That is correct only where the kernel cannot
// block: with non-blocking sockets, and for polling an epoll set without a timeout. Informing the scheduler costs more
// than such a call itself under load, and a floor does without it.

// PollNow returns the events that are ready in an epoll set. It never sleeps.
func PollNow(ep int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return countOrError(n, errno)
}

// RecvNow receives from a non-blocking socket.
func RecvNow(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	return countOrError(n, errno)
}

// SendNow sends to a non-blocking socket, and raises no SIGPIPE.
func SendNow(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	return countOrError(n, errno)
}

func countOrError(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Wait polls first and sleeps only if there is nothing, for at most the given number of milliseconds, or without limit
// if it is -1. A signal ends the sleep without an event.
func Wait(ep int, events []unix.EpollEvent, ms int) (int, error) {
	if n, err := PollNow(ep, events); n > 0 || ms == 0 || err != nil {
		return n, err
	}
	n, err := unix.EpollWait(ep, events, ms)
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

// WaitFor is Wait with nanoseconds; epoll_pwait2(2). Before Linux 5.11 it does not sleep.
func WaitFor(ep int, events []unix.EpollEvent, d time.Duration) (int, error) {
	if n, err := PollNow(ep, events); n > 0 || err != nil {
		return n, err
	}
	timeout := unix.NsecToTimespec(int64(d))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno == unix.EINTR || errno == unix.ENOSYS {
		return 0, nil
	}
	return countOrError(n, errno)
}
