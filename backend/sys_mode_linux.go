package backend

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// limitMode has a later bind(2) of a Unix socket make a file with at most this mode: the file gets the mode of the socket
// itself, which is 0777 otherwise, without the bits of the umask; unix_bind_bsd in net/unix/af_unix.c.
func limitMode(fd int, mode os.FileMode) error {
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, uint32(mode.Perm())))
}

// setMode gives a socket file its mode. It follows no link, and leaves alone what is no socket or belongs to somebody
// else, because whoever may write to the directory can have put another file there.
func setMode(path string, mode os.FileMode) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer CloseFD(fd)
	var st unix.Stat_t
	switch err := unix.Fstat(fd, &st); {
	case err != nil:
		return os.NewSyscallError("fstat", err)
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK, int(st.Uid) != os.Geteuid():
		return fmt.Errorf("set the mode: the file is another by now: %w", unix.EEXIST)
	case os.FileMode(st.Mode).Perm() == mode.Perm():
		return nil
	}
	// Since Linux 6.6; chmod(2). Older kernels change the file of a descriptor with O_PATH through /proc.
	err = unix.Fchmodat(fd, "", uint32(mode.Perm()), unix.AT_EMPTY_PATH)
	if err != nil {
		err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), uint32(mode.Perm()))
	}
	return os.NewSyscallError("chmod", err)
}
