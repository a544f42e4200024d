package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// variable tells a child which descriptor is its end of the conversation, and the inode of that: DESCRIPTOR:INODE. A process
// that has inherited the variable and not the descriptor sees that it is not meant.
const variable = "TANDEM_HANDOVER"

// Start starts cmd with one end of a new pair of sockets, which Inherited returns there, and returns the other end, for
// [NewGiver]. It adds to cmd's ExtraFiles and Env. Unlike LISTEN_PID of systemd's protocol, what it sets does not depend on
// the child's process id, which nobody knows before it runs; so no shell is needed in between. If Start returns an error,
// nothing runs, and nothing is left.
func Start(cmd *exec.Cmd) (*net.UnixConn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("handover: start: %w", os.NewSyscallError("socketpair", err))
	}
	theirs := os.NewFile(uintptr(fds[1]), "handover")
	defer theirs.Close()
	conn, err := unixConn(os.NewFile(uintptr(fds[0]), "handover"))
	if err != nil {
		return nil, fmt.Errorf("handover: start: %w", err)
	}
	number, err := inode(fds[1])
	if err == nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
		if cmd.Env == nil {
			cmd.Env = os.Environ()
		}
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d:%d", variable, 2+len(cmd.ExtraFiles), number))
		err = cmd.Start()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("handover: start: %w", err)
	}
	return conn, nil
}

// Inherited returns the connection with the process that has started this one by Start, for [NewTaker]; or nil, with no error,
// if it was started otherwise. It clears the variable, so that child processes do not claim the connection, and further calls
// return nil.
func Inherited() (*net.UnixConn, error) {
	value := os.Getenv(variable)
	_ = os.Unsetenv(variable)
	if value == "" {
		return nil, nil
	}
	left, right, _ := strings.Cut(value, ":")
	fd, err := strconv.Atoi(left)
	meant, err2 := strconv.ParseUint(right, 10, 64)
	if err != nil || err2 != nil || fd < 3 {
		return nil, fmt.Errorf("handover: %s is %q, which no Start has set", variable, value)
	}
	if is, err := inode(fd); err != nil || is != meant {
		return nil, nil // it is another process's
	}
	unix.CloseOnExec(fd)
	conn, err := unixConn(os.NewFile(uintptr(fd), "handover"))
	if err != nil {
		return nil, fmt.Errorf("handover: the connection of %s: %w", variable, err)
	}
	return conn, nil
}

// inode is the number of a socket's inode, which no other open socket has.
func inode(fd int) (uint64, error) {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	if s.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return 0, unix.ENOTSOCK
	}
	return s.Ino, nil
}

// unixConn makes a connection of a file, and closes that.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, unix.ENOTSOCK
	}
	return u, nil
}

// Activate makes cmd, which has not been started, inherit listening sockets by the protocol of sd_listen_fds(3), as if
// systemd had started it: InheritedListeners of package tandem returns them there, and any other program that systemd may
// activate understands it, too. names has a name for each file, or none; a name has no colon and no control characters, and at
// most 255 bytes. The files stay the caller's, who closes them after cmd.Start.
//
// LISTEN_PID must be the id of the process itself, which package os/exec cannot know in time. So cmd becomes one of /bin/sh,
// which sets the variable to its own id and then is replaced by the program. Where there is no /bin/sh, use Start.
func Activate(cmd *exec.Cmd, files []*os.File, names ...string) error {
	switch {
	case cmd.Err != nil:
		return fmt.Errorf("handover: activate: %w", cmd.Err)
	case len(cmd.ExtraFiles) > 0:
		return errors.New("handover: activate: ExtraFiles is not empty; the sockets have to be the first descriptors")
	case len(names) > 0 && len(names) != len(files):
		return fmt.Errorf("handover: activate: %d names for %d files", len(names), len(files))
	}
	for _, n := range names {
		if len(n) > maxName || strings.ContainsFunc(n, func(r rune) bool { return r < ' ' || r == ':' || r == 0x7f }) {
			return fmt.Errorf("handover: activate: LISTEN_FDNAMES cannot have the name %q", n)
		}
	}
	var rest []string
	if len(cmd.Args) > 0 {
		rest = cmd.Args[1:]
	}
	cmd.Args = append([]string{"/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, cmd.Path}, rest...)
	cmd.Path = "/bin/sh"
	cmd.ExtraFiles = files
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	return nil
}

// Notify tells systemd a state of the service, by the protocol of sd_notify(3), such as "READY=1\nMAINPID=1234". Without
// NOTIFY_SOCKET in the environment it does nothing. A successor that has taken over says both: systemd follows MAINPID, if the
// unit has Type=notify and NotifyAccess=all, and does not take the end of the old process for that of the service.
func Notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("handover: notify: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("handover: notify: %w", err)
	}
	return nil
}
