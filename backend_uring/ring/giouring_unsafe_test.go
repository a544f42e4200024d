//go:build giouring && linux

package ring

import (
	"syscall"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// entryBytes are a submission entry as the kernel reads it.
type entryBytes [64]byte

func bytesOfOurs(s *SQE) entryBytes { return *(*entryBytes)(unsafe.Pointer(s)) }

func bytesOfTheirs(s *giouring.SubmissionQueueEntry) entryBytes {
	return *(*entryBytes)(unsafe.Pointer(s))
}

func setOurs(s *SQE, b entryBytes) { *(*entryBytes)(unsafe.Pointer(s)) = b }

func setTheirs(s *giouring.SubmissionQueueEntry, b entryBytes) {
	*(*entryBytes)(unsafe.Pointer(s)) = b
}

// addressOfValue returns an address as an entry holds it. The caller keeps p alive, and in the heap.
func addressOfValue[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// theirMsghdr is the same structure under the name that giouring knows.
func theirMsghdr(m *unix.Msghdr) *syscall.Msghdr { return (*syscall.Msghdr)(unsafe.Pointer(m)) }

// entriesOfOurs is the memory of a buffer ring of ours in the type of giouring.
func entriesOfOurs(b *BufRing) []giouring.BufAndRing {
	return unsafe.Slice((*giouring.BufAndRing)(unsafe.Pointer(unsafe.SliceData(b.entries))), len(b.entries))
}

// entriesOfTheirs is the memory of a buffer ring of giouring.
func entriesOfTheirs(b *giouring.BufAndRing, n int) []giouring.BufAndRing { return unsafe.Slice(b, n) }
