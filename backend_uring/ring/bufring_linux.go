package ring

import (
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"
)

// maxBufRingEntries is the kernel's limit. Since Linux 5.19; io_uring_register_buf_ring(3).
const maxBufRingEntries = 1 << 15

// BufRing is a ring of buffers that the kernel takes from, one for each receive that selects from its group. It lends
// memory and owns none of it but the ring itself. All methods belong to the goroutine of its Ring.
//
//	             this side                                        the kernel, in a receive
//	entries      1. address, length and id written, by Add         3. read
//	tail         2. store-release, by Publish                      3. load-acquire
//	head         (not shared: a completion names the buffer)
//
// The tail lies in the last two bytes of the first entry, which Add therefore never writes as a whole.
type BufRing struct {
	ring      *Ring
	entries   []buf
	tail      uint16 // counts for ever, wraps at 2^16
	published uint16
	mask      int
	size      int
	group     uint16
	mem       mapping
}

// NewBufRing registers a ring for the buffers of a group, and gives it none yet. Entries are rounded up to a power of
// two, of at most 32768. Size is the most bytes of a buffer that the kernel may fill; 0 means all of it. On a ring of
// SetupSingleIssuer it is for the ring's thread. Since Linux 5.19; io_uring_register_buf_ring(3).
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

// Group is the number that receives select the ring by.
func (b *BufRing) Group() uint16 { return b.group }

// Entries is how many buffers the ring holds at most.
func (b *BufRing) Entries() int { return len(b.entries) }

// Add queues a buffer, of at least one byte, to be lent to the kernel by the next Publish. A completion returns it by
// bid. It is mapped memory that lives as long as the ring. The caller sees to it that there are never more than Entries
// in the kernel, and that a bid is there once.
func (b *BufRing) Add(bid uint16, p []byte) {
	if b.size > 0 && len(p) > b.size {
		p = p[:b.size]
	}
	b.entries[int(b.tail)&b.mask].lend(bid, p)
	b.tail++
}

// Publish lends to the kernel what Add has queued. No system call.
func (b *BufRing) Publish() {
	if b.published != b.tail {
		b.storeTail(b.tail)
		b.published = b.tail
	}
}

// Close ends the registration and frees the ring's memory; the buffers are the caller's again when no receive that
// selects from the group is in flight. It may come before or after the Ring's Close. To call it again does nothing.
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
