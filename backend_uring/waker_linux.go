package uring

import (
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// waker ends the sleep of a driver from any goroutine: by a message to the ring, or where the kernel has none that
// needs no ring of the sender's (before Linux 6.13), by an eventfd that the ring polls. The eventfd is there in any
// case, for a message that fails: the kernel may be out of memory for a completion, and a program may forbid itself
// io_uring_register(2) by a seccomp filter.
type waker struct {
	event    *backend.EventFD
	requests int // in flight
	failures int // of them, one after another

	mu   sync.Mutex  // guards ring: the ring's number may become somebody else's
	ring *ring.Waker // nil: by the eventfd
}

// makeWaker makes what Wake needs. The ring polls the eventfd from Start on.
func (d *Driver) makeWaker() (err error) {
	w := &d.waker
	if w.event, err = backend.NewEventFD(); err != nil {
		return err
	}
	if d.rung.msgRing && !d.config.EventFD {
		w.ring = ring.NewWaker(d.ring.FD(), opWake, 0)
	}
	return nil
}

func (d *Driver) watchEvent() {
	e := d.entry()
	e.PrepPollAdd(d.waker.event.FD(), unix.POLLIN, true)
	e.UserData = opEvent
	d.waker.requests++
}

// Wake implements backend.Driver.
func (d *Driver) Wake() {
	w := &d.waker
	w.mu.Lock()
	sent := w.ring != nil && w.ring.Wake() == nil
	w.mu.Unlock()
	if !sent {
		w.event.Signal()
	}
}

// woken deals with a completion of the eventfd's poll, which ends by itself when the completion queue is full. A driver
// that cannot be woken has failed.
func (d *Driver) woken(c ring.CQE, last bool) {
	w := &d.waker
	if c.Res >= 0 {
		w.failures = 0
		w.event.Drain()
	} else {
		w.failures++
	}
	if !last {
		return
	}
	w.requests--
	if w.failures > maxPollFailures {
		d.err = fmt.Errorf("uring: poll the eventfd: %w", syscall.Errno(-c.Res))
		return
	}
	d.watchEvent()
}

// maxPollFailures is how often in a row the eventfd's poll may fail, as without memory.
const maxPollFailures = 16

func (w *waker) close() {
	w.mu.Lock()
	w.ring = nil
	w.mu.Unlock()
	if w.event != nil {
		w.event.Close()
	}
}
