package backendtest

import "golang.org/x/sys/unix"

// stillOpen returns an error if fd is no open descriptor.
func stillOpen(fd uintptr) error {
	_, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
	return err
}
