package backend

import (
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// EventFD is an eventfd(2) that ends the sleep of a loop.
type EventFD struct {
	mu sync.Mutex // guards fd, so that nothing is written to a number that has become somebody else's
	fd int
}

// NewEventFD opens one.
func NewEventFD() (*EventFD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd2", err)
	}
	return &EventFD{fd: fd}, nil
}

// FD is the descriptor, which becomes readable by Signal.
func (e *EventFD) FD() int { return e.fd }

// Signal makes the descriptor readable. Any goroutine; after Close it does nothing.
func (e *EventFD) Signal() {
	one := uint64(1)
	e.mu.Lock()
	if e.fd >= 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(e.fd), uintptr(unsafe.Pointer(&one)), 8)
	}
	e.mu.Unlock()
}

// Drain makes the descriptor unreadable again.
func (e *EventFD) Drain() {
	var count uint64
	_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(e.fd), uintptr(unsafe.Pointer(&count)), 8)
}

// Close closes the descriptor.
func (e *EventFD) Close() {
	e.mu.Lock()
	if e.fd >= 0 {
		CloseFD(e.fd)
	}
	e.fd = -1
	e.mu.Unlock()
}
