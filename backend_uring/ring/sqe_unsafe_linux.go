package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// An address in an entry is a number: it does not keep memory alive, and does not follow a stack that moves. The caller
// keeps the memory alive. keepOffStack makes the compiler allocate it in the heap.

func (s *SQE) setBytes(p []byte) {
	address := unsafe.Pointer(unsafe.SliceData(p))
	keepOffStack(address)
	s.Addr = uint64(uintptr(address))
	s.Len = uint32(len(p))
}

func (s *SQE) setMessage(msg *unix.Msghdr) {
	address := unsafe.Pointer(msg)
	keepOffStack(address)
	s.Addr = uint64(uintptr(address))
}

// offStack is never written, but escape analysis has to assume that it is.
var offStack struct {
	enabled bool
	address unsafe.Pointer
}

func keepOffStack(p unsafe.Pointer) {
	if offStack.enabled {
		offStack.address = p
	}
}
