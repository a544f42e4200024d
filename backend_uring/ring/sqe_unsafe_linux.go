package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// An address in an entry is a number: it does not keep memory alive, and nobody corrects it when a stack moves. The
// caller does the first. For the second, keepOffStack makes the compiler put what it is given into the heap.

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

// offStack is never written. That it could be is what decides escape analysis.
var offStack struct {
	enabled bool
	address unsafe.Pointer
}

func keepOffStack(p unsafe.Pointer) {
	if offStack.enabled {
		offStack.address = p
	}
}
