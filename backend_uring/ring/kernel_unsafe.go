package ring

import (
	"syscall"
	"unsafe"
)

// Kernel carries out the system calls of io_uring(7) for the rings that NewOn makes on it, in place of the machine's. It
// is for tests: package ringtest has one that behaves as badly as a kernel may. Everything else of a Ring stays the same,
// its queues included, which lie in memory that both sides map.
//
// The methods are called as the system calls are: Setup, Enter and Close of one ring not at the same time, Register by
// any goroutine. A descriptor that Enter names with EnterRegisteredRing is the index from RegisterRingFDs.
type Kernel interface {
	// Setup is io_uring_setup(2). The descriptor can be mapped at the kernel's offsets.
	Setup(entries uint32, p *Params) (fd int, errno syscall.Errno)

	// Enter is io_uring_enter(2). It sleeps only if wait is not 0. The timeout is nil if there is none.
	Enter(fd int, submit, wait, flags uint32, timeout *KernelTimespec) (taken uint32, errno syscall.Errno)

	// Register is io_uring_register(2); fd is -1 for RegisterSendMsgRing.
	Register(fd int, op uint32, arg unsafe.Pointer, n uint32) syscall.Errno

	// Close is close(2) of a ring's descriptor.
	Close(fd int) error
}
