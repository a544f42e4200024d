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
		d.MarkReleased(s)
		return
	}
	d.cancelAllOf(s)
}

// cancelAllOf cancels every request of a socket that is being released.
func (d *Driver) cancelAllOf(s *backend.Socket) {
	accept := s.State&stream == 0
	for _, r := range [...]struct {
		inFlight bool
		op       uint64
	}{
		{s.State&armed != 0 && !accept, opReceive},
		{s.State&armed != 0 && accept, acceptOp(s)},
		{s.State&watched != 0, opWatch},
		{s.State&sending != 0, opSend},
		{s.State&roomPolled != 0, opRoom},
		{s.State&connecting != 0, opConnect},
	} {
		if r.inFlight {
			d.cancel(r.op, s)
		}
	}
}

// Close implements backend.Driver. It cancels the requests in flight and waits for them, closes the ring, and only then
// frees the memory that the kernel may have been writing to. If it cannot wait, because the ring has failed or belongs
// to another thread, the kernel cancels the requests in its own time, and the memory that it may still use is never
// freed.
func (d *Driver) Close() error {
	if d.ring == nil {
		return nil
	}
	d.closing = true
	d.All(func(s *backend.Socket) {
		d.forgotten = append(d.forgotten, s)
		d.Remove(s) // its completions find no socket any longer, and clean up after themselves
	})
	ownThread := d.thread != 0 && d.thread == unix.Gettid()
	if ownThread && d.err == nil {
		d.cancelEverything()
	}
	d.completeAll()
	d.completeHeld()
	d.waker.close()
	d.closePark()
	d.timer.Close()
	d.forward.Close()
	d.flush.close()
	finished := d.requests == 0
	err := d.ring.Close()
	if d.buffers != nil {
		d.buffers.close(finished)
	}
	if finished {
		for _, s := range d.forgotten {
			s.InFlight, s.Op = 0, nil
		}
	} else {
		keepForGood(d.forgotten)
	}
	d.ring, d.forgotten = nil, nil
	if ownThread {
		runtime.UnlockOSThread()
	}
	return err
}

// unfinished is memory that requests of closed rings refer to: Socket.Op of each.
var unfinished struct {
	mu   sync.Mutex // guards keep
	keep []any
}

// keepForGood keeps what the sends of sockets refer to, and not the sockets, on which whole Transports hang.
func keepForGood(all []*backend.Socket) {
	unfinished.mu.Lock()
	defer unfinished.mu.Unlock()
	for _, s := range all {
		if s.Op != nil {
			unfinished.keep = append(unfinished.keep, s.Op)
		}
	}
}

// cancelEverything ends all requests. It cancels those of sockets one by one: for one cancellation of everything the
// kernel would search from its first request again for each one that it ends.
func (d *Driver) cancelEverything() {
	for _, s := range d.forgotten {
		d.cancelAllOf(s)
	}
	d.cancelRequest(opEvent, 0)
	if d.timer.watched {
		d.cancelRequest(opTimer, 0)
	}
	d.awaitRequests(0)
	if d.requests > 0 && d.err == nil {
		d.cancelRequest(0, ring.CancelAny|ring.CancelAll) // Since Linux 5.19
		d.awaitRequests(time.Second)
	}
}

// awaitRequests handles completions until no request is in flight. After atMost it returns as soon as none has ended
// for a while.
func (d *Driver) awaitRequests(atMost time.Duration) {
	deadline := time.Now().Add(atMost)
	for d.requests > 0 && d.err == nil {
		before := d.requests
		if err := d.ring.Wait(5 * time.Millisecond); err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
			d.err = err
		}
		d.completeAll()
		if d.requests == before && time.Now().After(deadline) {
			return
		}
	}
}

// completeAll handles all completions, when the table has no sockets any longer.
func (d *Driver) completeAll() {
	l := &d.later
	lists := [...][]ring.CQE{l.old[l.at:], l.again, l.fresh}
	*l = deferredCQEs{}
	for _, list := range lists {
		for _, c := range list {
			d.complete(c, nil)
		}
	}
	for c, ok := d.take(); ok; c, ok = d.take() {
		d.complete(c, nil)
	}
}

// completeHeld handles what Enter could not bring into the queue, because the ring has failed or this is not its thread:
// connections among it would otherwise stay open for ever.
func (d *Driver) completeHeld() {
	for _, c := range d.ring.Held() {
		if bid, ok := c.Buffer(); ok {
			d.buffers.taken(bid)
		}
		d.complete(c, nil)
	}
}
