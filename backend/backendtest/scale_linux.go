package backendtest

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// roomFor reports whether n more descriptors may be opened. Go raises the limit to the hard one by itself.
func roomFor(n int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur < uint64(n) {
		return fmt.Errorf("%d descriptors are needed, and the limit is %d (ulimit -Hn)", n, limit.Cur)
	}
	return nil
}

// connectRaw connects a blocking socket that Go's poller does not know.
func connectRaw(to *net.TCPAddr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func closeRaw(fd int) { _ = unix.Close(fd) }

// cpuTime is what the process has used so far, in user mode and in the kernel, its threads there included.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
