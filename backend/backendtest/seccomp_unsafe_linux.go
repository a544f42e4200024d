package backendtest

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuse has system calls end with errno from now on: seccomp(2), and the form of the filter's data in linux/seccomp.h.
// With fd it is calls of all threads whose first argument is that descriptor, else all calls of the present thread. It
// cannot be taken back.
func refuse(errno syscall.Errno, fd *uint32, calls ...uint32) error {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return errors.ErrUnsupported
	}
	const number, argument = 0, 16 // offsets in struct seccomp_data, little-endian
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	is := func(value uint32, otherwise int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: uint8(otherwise)}
	}
	give := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	refused, allowed := give(unix.SECCOMP_RET_ERRNO|uint32(errno)), give(unix.SECCOMP_RET_ALLOW)
	then, flags := []unix.SockFilter{refused}, uintptr(0)
	if fd != nil {
		then, flags = []unix.SockFilter{load(argument), is(*fd, 1), refused, allowed}, unix.SECCOMP_FILTER_FLAG_TSYNC
	}
	var program []unix.SockFilter
	for _, call := range calls {
		program = append(append(program, load(number), is(call, len(then))), then...)
	}
	program = append(program, allowed)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&f)))
	if e != 0 {
		return os.NewSyscallError("seccomp", e)
	}
	return nil
}
