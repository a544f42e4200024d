package uring

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

const bufferGroup = 0

// buffers are a loop's receive buffers. There are few of them, because the kernel fills them in turn, so that all of
// them are in the cache or none. When they run out there come more, a slab at a time, and after a quiet time these
// leave again; shrink_linux.go.
//
//	kernel ── fills ─► lent to Received ─► giveBack ─► ring ─► kernel
//	                         │ keep                     ▲
//	                         ▼ its owner's  ── release ─┘ collect
type buffers struct {
	ring    *ring.BufRing
	size    int
	perSlab int
	most    int
	slabs   [][]byte   // mapped; buffer bid is in slabs[bid/perSlab]
	home    [][]uint16 // for each slab that retires, its buffers that are out of the ring
	live    int        // slabs whose buffers are given back to the ring
	free    int        // buffers that the kernel has
	low     int        // the fewest that it had since looked
	looked  time.Time  // when low began
	calm    time.Duration
	added   bool // some were added and not yet published
	loan    loan // what Received has now

	waiting  atomic.Bool // returned holds something
	mu       sync.Mutex  // guards what follows
	kept     int
	returned []uint16
	closed   bool
	leaked   bool
}

// loan is a buffer while one Received reports what is in it.
type loan struct {
	bid  uint16
	out  bool // there is one, and it has not been made its owner's
	kept bool
}

func newBuffers(r *ring.Ring, c Config) (*buffers, error) {
	b := &buffers{size: c.BufferSize, perSlab: c.Buffers, most: growth, calm: calm}
	entries := 1
	for entries < c.Buffers*growth {
		entries *= 2
	}
	if entries > 32768 {
		entries, b.most = 32768, max(32768/c.Buffers, 1)
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
	b.home = append(b.home, nil)
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

// taken accounts for a buffer that the kernel has filled.
func (b *buffers) taken() {
	b.free--
	b.low = min(b.low, b.free)
}

// lend returns the n bytes of a buffer for the time of one Received, which giveBack ends with the loan before, if there
// was one.
func (b *buffers) lend(bid uint16, n int) (p []byte, before loan) {
	before, b.loan = b.loan, loan{bid: bid, out: true}
	return b.memory(bid)[:n:n], before
}

// giveBack ends the loan. A buffer that its owner has kept comes back by release.
func (b *buffers) giveBack(before loan) {
	ended := b.loan
	b.loan = before
	if !ended.kept {
		b.back(ended.bid)
	}
}

func (b *buffers) back(bid uint16) {
	slab := int(bid) / b.perSlab
	if slab < b.live {
		b.add(bid)
		return
	}
	b.home[slab] = append(b.home[slab], bid)
	for last := len(b.slabs) - 1; last >= b.live && len(b.home[last]) == b.perSlab; last-- {
		_ = unix.Munmap(b.slabs[last])
		b.slabs, b.home = b.slabs[:last], b.home[:last]
	}
}

// keep makes the lent buffer its owner's. At most half of all that there can be are away at a time.
func (b *buffers) keep(wake func()) func() {
	if !b.loan.out {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept >= max(b.perSlab*b.most/2, 1) {
		return nil
	}
	b.kept++
	b.loan.out, b.loan.kept = false, true
	bid := b.loan.bid
	return func() { b.release(bid, wake) }
}

// release is called by owners, on any goroutine.
func (b *buffers) release(bid uint16, wake func()) {
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
		wake() // somebody may be starved
	}
}

// collect takes back what owners have released.
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

// close frees the memory; if some of it is still its owners', the last of them does. The ring is closed already. If the
// kernel may still write to the memory, it stays for good.
func (b *buffers) close(drained bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if !drained {
		b.leaked = true
		return
	}
	_ = b.ring.Close()
	b.unmapLocked()
}

func (b *buffers) unmapLocked() {
	if b.kept > 0 || b.leaked {
		return
	}
	for _, m := range b.slabs {
		_ = unix.Munmap(m)
	}
	b.slabs = nil
}
