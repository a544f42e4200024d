//go:build linux

package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SyscallCounter counts the system calls of all threads of a process with the kernel's tracepoint. While it counts,
// every system call on the machine is slower, so the times of such a run are not comparable.
type SyscallCounter struct{ fds []int }

// tracefs is where the numbers of tracepoints are, if one of these is mounted.
var tracefs = []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}

// syscallTracepoint returns the number of raw_syscalls:sys_enter.
func syscallTracepoint() (uint64, error) {
	var failed error
	for _, dir := range tracefs {
		text, err := os.ReadFile(filepath.Join(dir, "events/raw_syscalls/sys_enter/id"))
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	return 0, fmt.Errorf("count system calls: %w: needs tracefs (as root: mount -t tracefs tracefs %s): %w",
		errors.ErrUnsupported, tracefs[0], failed)
}

// CountSyscalls begins to count. It includes threads that are created later.
func CountSyscalls(pid int) (*SyscallCounter, error) {
	id, err := syscallTracepoint()
	if err != nil {
		return nil, err
	}
	threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		return nil, fmt.Errorf("list the threads of a process: %w", err)
	}
	c := new(SyscallCounter)
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		// perf_event_open(2): any CPU, no group.
		fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
			Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Bits: unix.PerfBitInherit,
		}, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(err, unix.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			c.close()
			return nil, fmt.Errorf("count system calls (kernel.perf_event_paranoid above -1 asks for CAP_PERFMON): %w",
				os.NewSyscallError("perf_event_open", err))
		}
		c.fds = append(c.fds, fd)
	}
	return c, nil
}

// Stop ends counting and returns the count.
func (c *SyscallCounter) Stop() (int64, error) {
	defer c.close()
	var sum int64
	for _, fd := range c.fds {
		var count [8]byte
		if n, err := unix.Read(fd, count[:]); err != nil || n != len(count) {
			return 0, fmt.Errorf("read a count of system calls: %d bytes: %w", n, os.NewSyscallError("read", err))
		}
		sum += int64(binary.NativeEndian.Uint64(count[:]))
	}
	return sum, nil
}

func (c *SyscallCounter) close() {
	for _, fd := range c.fds {
		_ = unix.Close(fd)
	}
	c.fds = nil
}
