package uring

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

const bufferGroup = 0

// buffers are a loop's receive buffers. There are few of them: the kernel fills them in turn, so either all of them are
// in the processor's cache or none. When they run out another slab is added; idle slabs are retired later, see
// shrink_linux.go.
//
//	kernel ── fills ─► lent to Received ─► giveBack ─► ring ─► kernel
//	                         │ keep                     ▲
//	                         ▼ the owner's ── release ──┘ collect
type buffers struct {
	ring       *ring.BufRing
	size       int
	perSlab    int
	maxSlabs   int
	slabs      [][]byte   // mapped; buffer bid is in slabs[bid/perSlab]
	retiredIDs [][]uint16 // for each slab that is retired, its buffers that have left the ring
	live       int        // slabs that are not retired: their buffers go back to the ring
	free       int        // buffers that the kernel has
	low        int        // the minimum of free since lowSince
	lowSince   time.Time
	quietTime  time.Duration // how long a slab must not have been needed before it is retired
	added      bool          // buffers were added and not published yet
	loan       loan          // what Received has
	given      []bool        // which buffers the kernel has, if poisoning is on

	waiting atomic.Bool // returned is not empty
	mu      sync.Mutex  // guards the fields below

	kept     int      // buffers that owners have kept
	returned []uint16 // buffers that owners have released
	closed   bool
	leaked   bool // the kernel may still write to the memory
}

// loan is a buffer while one Received reports what is in it.
type loan struct {
	bid  uint16
	out  bool // there is one, and its owner has not kept it
	kept bool // its owner has kept it
}

func newBuffers(r *ring.Ring, c Config) (*buffers, error) {
	b := &buffers{size: c.BufferSize, perSlab: c.Buffers, maxSlabs: growth, quietTime: quietTime}
	entries := 1
	for entries < c.Buffers*growth {
		entries *= 2
	}
	if entries > 32768 {
		entries, b.maxSlabs = 32768, max(32768/c.Buffers, 1)
	}
	var err error
	if b.ring, err = ring.NewBufRing(r, bufferGroup, uint32(entries), 0); err != nil {
		return nil, err
	}
	if err := b.addSlab(); err != nil {
		_ = b.ring.Close()
		return nil, err
	}
	b.publish()
	return b, nil
}

func (b *buffers) addSlab() error {
	mem, err := unix.Mmap(-1, 0, b.perSlab*b.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("uring: map receive buffers: %w", err)
	}
	b.slabs = append(b.slabs, mem)
	b.retiredIDs = append(b.retiredIDs, nil)
	b.live = len(b.slabs)
	for i := range b.perSlab {
		b.add(uint16((len(b.slabs)-1)*b.perSlab + i))
	}
	return nil
}

func (b *buffers) memory(bid uint16) []byte {
	i := int(bid) % b.perSlab * b.size
	return b.slabs[int(bid)/b.perSlab][i : i+b.size : i+b.size]
}

func (b *buffers) add(bid uint16) {
	if backend.Poisoning() {
		b.poison(bid)
	}
	b.ring.Add(bid, b.memory(bid))
	b.free++
	b.added = true
}

// publish shows the kernel what was added.
func (b *buffers) publish() {
	if b.added {
		b.added = false
		b.ring.Publish()
	}
}

// poison fills a buffer that is about to go to the kernel.
func (b *buffers) poison(bid uint16) {
	if missing := len(b.slabs)*b.perSlab - len(b.given); missing > 0 {
		b.given = append(b.given, make([]bool, missing)...)
	}
	if b.given[bid] {
		backend.Misused("a receive buffer was given to the kernel twice")
	}
	b.given[bid] = true
	backend.Poison(b.memory(bid))
}

// taken counts a buffer that the kernel has filled.
func (b *buffers) taken(bid uint16) {
	b.free--
	b.low = min(b.low, b.free)
	if backend.Poisoning() {
		b.given[bid] = false
	}
}

// lend returns n bytes of a buffer for one call of Received, and the loan that this one interrupts. giveBack ends the
// one and restores the other.
func (b *buffers) lend(bid uint16, n int) (p []byte, before loan) {
	before, b.loan = b.loan, loan{bid: bid, out: true}
	if backend.Poisoning() {
		backend.CheckPoison(b.memory(bid)[n:], "a receive buffer")
	}
	return b.memory(bid)[:n:n], before
}

// giveBack ends a loan. A buffer that its owner has kept comes back by release.
func (b *buffers) giveBack(before loan) {
	ended := b.loan
	b.loan = before
	if !ended.kept {
		b.back(ended.bid)
	}
}

// back returns a buffer to the ring, or unmaps its slab when all of a retired slab have come back.
func (b *buffers) back(bid uint16) {
	slab := int(bid) / b.perSlab
	if slab < b.live {
		b.add(bid)
		return
	}
	backend.Poison(b.memory(bid))
	b.retiredIDs[slab] = append(b.retiredIDs[slab], bid)
	for last := len(b.slabs) - 1; last >= b.live && len(b.retiredIDs[last]) == b.perSlab; last-- {
		_ = unix.Munmap(b.slabs[last])
		b.slabs, b.retiredIDs = b.slabs[:last], b.retiredIDs[:last]
	}
}

// keep gives the lent buffer to its owner. At most half of all that there can be are kept at a time.
func (b *buffers) keep(wake func()) func() {
	if !b.loan.out {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept >= max(b.perSlab*b.maxSlabs/2, 1) {
		return nil
	}
	b.kept++
	b.loan.out, b.loan.kept = false, true
	bid := b.loan.bid
	mem := b.memory(bid)
	return backend.GiveBackOnce(func() { b.release(bid, mem, wake) }, "a receive buffer")
}

// release takes a kept buffer back. Any goroutine.
func (b *buffers) release(bid uint16, mem []byte, wake func()) {
	backend.Poison(mem)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept--
	if b.closed {
		b.unmapLocked()
		return
	}
	b.returned = append(b.returned, bid)
	b.waiting.Store(true)
	if len(b.returned) == 1 {
		wake() // sockets may be waiting for buffers
	}
}

// collect returns to the ring what owners have released.
func (b *buffers) collect() {
	if !b.waiting.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.Store(false)
	for _, bid := range b.returned {
		b.back(bid)
	}
	b.returned = b.returned[:0]
}

func (b *buffers) keptNow() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

// close frees the memory. If owners have kept some of it, the last release does. If the kernel may still write to it,
// because requests have not finished, its addresses stay mapped for good, and only its pages are freed: a late write would
// bring one back. The ring is closed already.
func (b *buffers) close(finished bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.leaked = !finished
	if finished {
		_ = b.ring.Close()
	}
	b.unmapLocked()
}

func (b *buffers) unmapLocked() {
	switch {
	case b.kept > 0:
		return
	case b.leaked:
		for _, m := range b.slabs {
			_ = unix.Madvise(m, unix.MADV_DONTNEED)
		}
		return
	}
	for _, m := range b.slabs {
		_ = unix.Munmap(m)
	}
	b.slabs = nil
}
