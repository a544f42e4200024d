package uring

import (
	"runtime"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Release implements backend.Driver.
func (d *Driver) Release(s *backend.Socket) {
	s.State |= releasing
	s.State &^= wantReceive | wantAccept
	if s.InFlight == 0 {
		d.letGo(s)
		return
	}
	// All requests on the descriptor at once. Since Linux 5.19; io_uring_prep_cancel(3).
	d.request(s, opCancel).PrepCancelFD(s.FD, CancelAll)
}

func (d *Driver) letGo(s *backend.Socket) {
	d.slots.Remove(s)
	d.released.Add(s)
}

// Close implements backend.Driver: it cancels what is in flight and waits for it, closes the ring, and only then frees
// the memory that the kernel may have been writing to.
func (d *Driver) Close() error {
	if d.ring == nil {
		return nil
	}
	if d.locked && d.err == nil {
		d.cancelAll()
	}
	d.waker.close()
	err := d.ring.Close()
	if d.buffers != nil {
		d.buffers.close()
	}
	d.ring = nil
	if d.locked {
		d.locked = false
		runtime.UnlockOSThread()
	}
	return err
}

func (d *Driver) cancelAll() {
	for _, list := range [][]CQE{d.waiting.again, d.waiting.fresh} {
		for _, c := range list {
			if c.UserData&opMask == opAccept && c.Res >= 0 {
				backend.CloseFD(int(c.Res))
			}
		}
	}
	d.entry().PrepCancel(0, CancelAny|CancelAll) // Since Linux 5.19
	for tries := 0; d.requests > 0 && tries < 100; tries++ {
		if err := d.ring.Wait(10 * time.Millisecond); err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
			return
		}
		for c := d.ring.Peek(); c != nil; c = d.ring.Peek() {
			op := c.UserData & opMask
			if !c.More() && (op != opWake || d.waker.event != nil) {
				d.requests--
			}
			if op == opAccept && c.Res >= 0 {
				backend.CloseFD(int(c.Res))
			}
			d.ring.Advance()
		}
	}
}
