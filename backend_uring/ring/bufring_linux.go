package ring

import (
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"
)

// maxBufRingEntries is the kernel's limit. Since Linux 5.19; io_uring_register_buf_ring(3).
const maxBufRingEntries = 1 << 15

// BufRing is a ring of buffers. The kernel takes one for each receive that selects from its group. It lends memory and
// owns none of it but the ring itself. All methods belong to the goroutine of its Ring.
//
//	             this process                                     the kernel, in a receive
//	entries      1. address, length and id written, by Add         3. read
//	tail         2. store-release, by Publish                      3. load-acquire
//	head         (not shared: a completion names the buffer)
//
// The tail is the last two bytes of the first entry, so Add never writes an entry as a whole.
type BufRing struct {
	ring      *Ring
	entries   []Buf
	tail      uint16 // only grows, and wraps at 2^16
	published uint16
	mask      int
	size      int
	group     uint16
	mem       mapping
}

// NewBufRing registers an empty ring for the buffers of a group. Entries are rounded up to a power of two, at most
// 32768. The kernel fills at most size bytes of a buffer; 0 means all of it. If r has SetupSingleIssuer and is enabled,
// only its own thread may call NewBufRing. Since Linux 5.19; io_uring_register_buf_ring(3).
func NewBufRing(r *Ring, group uint16, entries uint32, size int) (*BufRing, error) {
	if entries == 0 || entries > maxBufRingEntries || size < 0 {
		return nil, fmt.Errorf("uring: buffer ring of %d entries of %d bytes: %w", entries, size, unix.EINVAL)
	}
	entries = 1 << bits.Len32(entries-1)
	b := &BufRing{ring: r, mask: int(entries) - 1, size: size, group: group}
	if err := b.mapEntries(int(entries)); err != nil {
		return nil, fmt.Errorf("uring: map buffer ring: %w", err)
	}
	if err := b.register(); err != nil {
		_ = b.mem.unmap()
		return nil, fmt.Errorf("uring: register buffer ring: %w", err)
	}
	return b, nil
}

// Group returns the number by which receives select the ring.
func (b *BufRing) Group() uint16 { return b.group }

// Entries returns how many buffers the ring can hold.
func (b *BufRing) Entries() int { return len(b.entries) }

// Add queues a buffer of at least one byte, which the next Publish lends to the kernel. A completion returns it by bid.
// It is mapped memory that lives as long as the ring. The caller makes sure that the kernel never has more than Entries
// buffers, and no bid twice.
func (b *BufRing) Add(bid uint16, p []byte) {
	if b.size > 0 && len(p) > b.size {
		p = p[:b.size]
	}
	b.entries[int(b.tail)&b.mask].lend(bid, p)
	b.tail++
}

// Publish lends the queued buffers to the kernel. It makes no system call.
func (b *BufRing) Publish() {
	if b.published != b.tail {
		b.storeTail(b.tail)
		b.published = b.tail
	}
}

// Close ends the registration and frees the ring's memory. The buffers are the caller's again when no receive that
// selects from the group is in flight. It may come before or after the Ring's Close. Calling it again does nothing.
func (b *BufRing) Close() error {
	if b.entries == nil {
		return nil
	}
	var err error
	if b.ring.FD() >= 0 { // else the kernel has forgotten it with the ring
		err = b.unregister()
	}
	b.entries = nil
	if unmapErr := b.mem.unmap(); err == nil {
		err = unmapErr
	}
	if err != nil {
		return fmt.Errorf("uring: close buffer ring: %w", err)
	}
	return nil
}
