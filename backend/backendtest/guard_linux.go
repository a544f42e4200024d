package backendtest

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// closeOnExec reports whether a descriptor of this process, or one that is gone, is close-on-exec.
func closeOnExec(fd string) bool {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return true
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	return err != nil || flags&unix.FD_CLOEXEC != 0
}
