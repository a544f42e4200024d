package backend

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendRoom is how many bytes the send buffer of a socket has room for now, about; 0 if the kernel does not say. Since
// Linux 4.12; SO_MEMINFO, sock_diag(7).
func SendRoom(d Descriptor) int {
	var info [9]uint32 // of the kernel's SK_MEMINFO_VARS
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(d.FD()), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return 0
	}
	used := max(info[unix.SK_MEMINFO_WMEM_QUEUED], info[unix.SK_MEMINFO_WMEM_ALLOC]) // the second is that of Unix sockets
	return max(int(info[unix.SK_MEMINFO_SNDBUF])-int(used), 0)
}
