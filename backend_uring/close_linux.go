package uring

import (
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Release implements backend.Driver.
func (d *Driver) Release(s *backend.Socket) {
	s.State |= releasing
	s.State &^= wantReceive | wantAccept
	if s.InFlight == 0 {
		d.letGo(s)
		return
	}
	d.cancelAllOf(s)
}

// cancelAllOf ends every request on a socket that is being released.
func (d *Driver) cancelAllOf(s *backend.Socket) {
	accept := s.State&stream == 0
	for _, r := range [...]struct {
		in      bool
		request uint64
	}{
		{s.State&armed != 0 && !accept, opReceive},
		{s.State&armed != 0 && accept, opAccept},
		{s.State&watched != 0, opWatch},
		{s.State&sending != 0, opSend},
		{s.State&roomPolled != 0, opRoom},
		{s.State&connecting != 0, opConnect},
	} {
		if r.in {
			d.cancel(r.request, s)
		}
	}
}

func (d *Driver) letGo(s *backend.Socket) {
	d.slots.Remove(s)
	d.released.Add(s)
}

// Close implements backend.Driver: it cancels what is in flight and waits for it, closes the ring, and only then frees
// the memory that the kernel may have been writing to. If the ring cannot be drained, because it has failed or belongs
// to another thread, what the kernel may still use stays for good: it cancels the rest in its own time.
func (d *Driver) Close() error {
	if d.ring == nil {
		return nil
	}
	here := d.thread != 0 && d.thread == unix.Gettid()
	if here && d.err == nil {
		d.drain()
	}
	d.discardAll()
	d.waker.close()
	d.flush.close()
	drained := d.requests == 0
	err := d.ring.Close()
	if d.buffers != nil {
		d.buffers.close(drained)
	}
	if !drained {
		keepForGood(&d.slots)
	}
	d.ring = nil
	if here {
		runtime.UnlockOSThread()
	}
	return err
}

// undrained is what rings that could not be drained refer to.
var undrained struct {
	mu   sync.Mutex // guards keep
	keep []any
}

func keepForGood(v any) {
	undrained.mu.Lock()
	undrained.keep = append(undrained.keep, v)
	undrained.mu.Unlock()
}

// drain ends all requests. Sockets first, each by itself: with one cancellation for everything the kernel would begin
// at the first request again for each that it ends.
func (d *Driver) drain() {
	d.slots.All(func(s *backend.Socket) { d.cancelAllOf(s) })
	d.cancelRequest(opEvent, 0)
	d.settle(0)
	if d.requests > 0 && d.err == nil {
		d.cancelRequest(0, ring.CancelAny|ring.CancelAll) // Since Linux 5.19
		d.settle(time.Second)
	}
}

// settle takes completions until no request is in flight, or for so long, or at least until no more come.
func (d *Driver) settle(atMost time.Duration) {
	deadline := time.Now().Add(atMost)
	for d.requests > 0 && d.err == nil {
		before := d.requests
		if err := d.ring.Wait(5 * time.Millisecond); err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
			d.err = err
		}
		d.discardAll()
		if d.requests == before && time.Now().After(deadline) {
			return
		}
	}
}

// discardAll counts what has completed, and closes connections that were accepted for nobody.
func (d *Driver) discardAll() {
	w := &d.waiting
	for _, list := range [][]ring.CQE{w.old[w.at:], w.again, w.fresh} {
		for _, c := range list {
			d.discard(c)
		}
	}
	w.old, w.again, w.fresh, w.at = nil, nil, nil, 0
	for c := d.ring.PeekCQE(); c != nil; c = d.ring.PeekCQE() {
		d.discard(*c)
		d.ring.Advance()
	}
}

func (d *Driver) discard(c ring.CQE) {
	op := c.UserData & opMask
	if !c.More() && op != opWake && op != opCancel {
		d.requests--
	}
	if op == opAccept && c.Res >= 0 {
		backend.CloseFD(int(c.Res))
	}
}
