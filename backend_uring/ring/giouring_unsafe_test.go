//go:build giouring && linux

package oracle

import (
	"syscall"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	uring "github.com/tandem-io/tandem/backend_uring"
)

// entryBytes are a submission entry as the kernel reads it.
type entryBytes [64]byte

func bytesOfOurs(s *uring.SQE) entryBytes { return *(*entryBytes)(unsafe.Pointer(s)) }

func bytesOfTheirs(s *giouring.SubmissionQueueEntry) entryBytes {
	return *(*entryBytes)(unsafe.Pointer(s))
}

func setOurs(s *uring.SQE, b entryBytes) { *(*entryBytes)(unsafe.Pointer(s)) = b }

func setTheirs(s *giouring.SubmissionQueueEntry, b entryBytes) {
	*(*entryBytes)(unsafe.Pointer(s)) = b
}

// addressOf is an address as an entry holds it. The caller keeps p alive, and in the heap.
func addressOf[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// message is the same structure under the name that giouring knows.
func message(m *unix.Msghdr) *syscall.Msghdr { return (*syscall.Msghdr)(unsafe.Pointer(m)) }

// bufferRing is the memory of a buffer ring that begins at p.
func bufferRing(p unsafe.Pointer, entries int) []giouring.BufAndRing {
	return unsafe.Slice((*giouring.BufAndRing)(p), entries)
}
