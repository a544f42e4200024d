package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// The buffers of a slab that is to leave are the kernel's, which has no way to give them back unused. So, in a quiet
// time, the driver uses them up itself: reads of one byte take buffers out of the ring, those of other slabs are added
// again, and when all that retire are home their memory is unmapped.
//
//	grow ─► slabs ─► calm: the youngest retires ─► flush ─► all of it is home: unmapped
//	                     ▲                 │
//	                     └──── revive ◄────┘ the buffers run out again

// calm is how long the buffers of a slab must not have been needed before it leaves.
const calm = time.Second

// flushChunk is how many buffers are taken out of the ring in one Poll.
const flushChunk = 64

// grow adds a slab, or keeps one that is about to leave, and reports whether it did.
func (b *buffers) grow() bool {
	switch {
	case b.live < len(b.slabs):
		b.revive()
	case len(b.slabs) >= b.most || b.addSlab() != nil:
		return false // without memory it stays as it is, and the sockets wait
	}
	b.looked, b.low = time.Now(), 0
	return true
}

// revive takes back a slab that retires.
func (b *buffers) revive() {
	home := b.home[b.live]
	b.home[b.live] = nil
	b.live++
	for _, bid := range home {
		b.add(bid)
	}
}

// retire lets the youngest slabs leave that nobody would have missed lately, and reports whether there were some.
func (b *buffers) retire(now time.Time) bool {
	if now.Sub(b.looked) < b.calm {
		return false
	}
	unused := min((b.low-b.perSlab/4)/b.perSlab, b.live-1)
	b.looked, b.low = now, b.free
	if unused <= 0 {
		return false
	}
	b.live -= unused
	return true
}

// flush takes buffers out of the ring.
type flush struct {
	left int // so many are yet to be asked for
	out  int // reads in flight
	fd   int // a file of one byte to read from, or 0
}

func (f *flush) close() {
	if f.fd > 0 {
		backend.CloseFD(f.fd)
		f.fd = 0
	}
}

// shrink lets memory leave that was needed for a burst, also if the loop does nothing else any longer: it shortens the
// sleep for that.
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
	if wait < 0 || wait > b.calm {
		wait = b.calm
	}
	return wait
}

// flushSome asks for some buffers. Without a file to read from it asks for none, and a slab leaves when receives have
// used up its buffers.
func (d *Driver) flushSome() {
	f, b := &d.flush, d.buffers
	if f.fd == 0 {
		if f.fd = oneByte(); f.fd <= 0 {
			f.left, f.fd = 0, 0
			return
		}
	}
	for range min(f.left, flushChunk, b.free-b.free/4) {
		f.left--
		f.out++
		e := d.entry()
		e.PrepReadSelect(f.fd, bufferGroup, 1)
		e.UserData = opFlush
	}
}

func (d *Driver) flushed(c ring.CQE) {
	f := &d.flush
	f.out--
	if bid, ok := c.Buffer(); ok {
		d.buffers.back(bid)
	} else {
		f.left = 0 // others have taken them
	}
	if f.out == 0 && f.left == 0 {
		f.close()
	}
}

// oneByte opens a file in memory that has one byte; memfd_create(2). It returns -1 if it cannot.
func oneByte() int {
	fd, err := unix.MemfdCreate("tandem", unix.MFD_CLOEXEC)
	if err != nil {
		return -1
	}
	if n, err := unix.Write(fd, []byte{0}); n != 1 || err != nil {
		backend.CloseFD(fd)
		return -1
	}
	return fd
}
