//go:build linux

package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// addressOf returns the address of the first byte as an entry holds it. The caller keeps p alive, and in the heap.
func addressOf(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

func addressOfMsghdr(m *unix.Msghdr) uintptr { return uintptr(unsafe.Pointer(m)) }
