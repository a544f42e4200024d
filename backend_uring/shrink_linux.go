package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// The kernel has the buffers of a slab that is to be freed, and cannot give them back unused. So when a slab is retired
// the driver uses the buffers up itself: reads of one byte take them out of the ring, it adds those of other slabs
// again, and when all buffers of the retired slab have left the ring its memory is unmapped.
//
//	grow ─► live ─── not needed for quietTime ─► retired ─► flush ─► all its buffers have left the ring: unmapped
//	          ▲                                     │
//	          └───────────── reactivate ◄───────────┘ the buffers have run out again

// quietTime is how long a slab must not have been needed before it is retired.
const quietTime = time.Second

// flushChunk is how many buffers one Poll takes out of the ring.
const flushChunk = 64

// grow adds a slab, or reactivates a retired one, and reports whether it did.
func (b *buffers) grow() bool {
	switch {
	case b.live < len(b.slabs):
		b.reactivate()
	case len(b.slabs) >= b.maxSlabs || b.addSlab() != nil:
		return false // without memory nothing changes, and the sockets wait
	}
	b.lowSince, b.low = time.Now(), 0
	return true
}

// reactivate makes the oldest retired slab live again.
func (b *buffers) reactivate() {
	ids := b.retiredIDs[b.live]
	b.retiredIDs[b.live] = nil
	b.live++
	for _, bid := range ids {
		b.add(bid)
	}
}

// retire retires the newest slabs if they were not needed for quietTime, and reports whether there were any.
func (b *buffers) retire(now time.Time) bool {
	if now.Sub(b.lowSince) < b.quietTime {
		return false
	}
	unused := min((b.low-b.perSlab/4)/b.perSlab, b.live-1)
	b.lowSince, b.low = now, b.free
	if unused <= 0 {
		return false
	}
	b.live -= unused
	return true
}

// flush takes buffers out of the ring.
type flush struct {
	left int                // reads to be submitted
	out  int                // reads in flight
	file backend.Descriptor // of one byte, to read from; the zero Descriptor: none
}

func (f *flush) close() {
	if f.file.Valid() {
		backend.CloseFD(f.file.FD())
		f.file = backend.Descriptor{}
	}
}

// shrink frees memory that was needed for a burst. It shortens the sleep, so that it does so even if the loop has
// nothing else to do.
func (d *Driver) shrink(wait time.Duration) time.Duration {
	b := d.buffers
	if d.flush.left > 0 {
		d.flushSome()
	}
	if b.live == 1 {
		return wait
	}
	if b.retire(time.Now()) {
		d.flush.left = b.free
	}
	if wait < 0 || wait > b.quietTime {
		wait = b.quietTime
	}
	return wait
}

// flushSome submits some reads. Without a file to read from it submits none, and a retired slab is freed when receives
// have used up its buffers.
func (d *Driver) flushSome() {
	f, b := &d.flush, d.buffers
	if !f.file.Valid() {
		if f.file = oneByte(); !f.file.Valid() {
			f.left = 0
			return
		}
	}
	for range min(f.left, flushChunk, b.free-b.free/4) {
		f.left--
		f.out++
		e := d.entry()
		e.PrepReadSelect(f.file.FD(), bufferGroup, 1)
		e.UserData = opFlush
	}
}

func (d *Driver) flushed(c ring.CQE) {
	f := &d.flush
	f.out--
	if bid, ok := c.Buffer(); ok {
		d.buffers.back(bid)
	} else {
		f.left = 0 // receives have taken them
	}
	if f.out == 0 && f.left == 0 {
		f.close()
	}
}

// oneByte opens a file in memory that has one byte; memfd_create(2). It returns the zero Descriptor if it cannot.
func oneByte() backend.Descriptor {
	fd, err := unix.MemfdCreate("tandem", unix.MFD_CLOEXEC)
	if err != nil {
		return backend.Descriptor{}
	}
	if n, err := unix.Write(fd, []byte{0}); n != 1 || err != nil {
		backend.CloseFD(fd)
		return backend.Descriptor{}
	}
	return backend.NewDescriptor(fd)
}
