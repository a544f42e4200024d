package backend

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxBacklog is the largest backlog that the kernel grants: net.core.somaxconn, listen(2).
func maxBacklog() int {
	if b, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			return n
		}
	}
	return 1<<31 - 1 // it cannot be told
}

// peerCredentials is the process that connected the other end of a Unix socket, or that called listen(2) there:
// SO_PEERCRED, unix(7). Other sockets have none, and the kernel does not say so.
func peerCredentials(fd int) (PeerCredentials, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return PeerCredentials{}, os.NewSyscallError("getsockopt", err)
	}
	return PeerCredentials{PID: int(c.Pid), UID: int(c.Uid), GID: int(c.Gid)}, nil
}

// processEnded reports whether a process is known to have ended, whether its parent has waited for it or not. A process
// of a namespace that is not ours has pid 0, and is not known.
func processEnded(pid int) bool {
	if pid <= 0 {
		return false
	}
	if unix.Kill(pid, 0) == unix.ESRCH {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	// The state comes behind the name, which is in parentheses and may contain some: proc_pid_stat(5).
	rest := bytes.TrimSpace(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(rest) > 0 && (rest[0] == 'Z' || rest[0] == 'X')
}

// lockFile creates an empty file, or opens one, and locks it: flock(2). If another has locked it the error is EAGAIN.
// The lock goes with the process.
func lockFile(name string) (*os.File, error) {
	// Without O_NONBLOCK the open of a FIFO that somebody has put there would wait.
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "flock", Path: name, Err: err}
	}
	if !sameFile(f, name) { // its last holder has removed it
		_ = f.Close()
		return nil, &os.PathError{Op: "flock", Path: name, Err: unix.EAGAIN}
	}
	return f, nil
}

// unlockFile removes the file that lockFile has locked, if it is still empty, and unlocks it.
func unlockFile(f *os.File, name string) {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() == 0 && sameFile(f, name) {
		_ = os.Remove(name)
	}
	// A child that was forked meanwhile has the descriptor until it execs.
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	_ = f.Close()
}

func sameFile(f *os.File, name string) bool {
	ours, err := f.Stat()
	there, lerr := os.Lstat(name)
	return errors.Join(err, lerr) == nil && os.SameFile(ours, there)
}
