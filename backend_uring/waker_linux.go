package uring

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// waker ends the sleep of a driver from any goroutine: by a message to the ring, or on kernels without that (before
// Linux 6.13) by an eventfd that the ring polls. There is always an eventfd, for messages that fail: the kernel may
// lack memory for a completion, and a program may forbid itself io_uring_register(2) by a seccomp filter.
type waker struct {
	event    *backend.EventFD
	requests int // in flight
	failures int // in a row

	parked atomic.Bool // or about to be: in Go's poller, which an eventfd that the ring polls does not reach in time

	mu   sync.Mutex  // guards ring, so that Wake never uses a number that has become another ring's
	ring *ring.Waker // nil: use the eventfd
}

// makeWaker makes what Wake uses. The ring polls the eventfd from Start on.
func (d *Driver) makeWaker() (err error) {
	w := &d.waker
	if w.event, err = backend.NewEventFD(); err != nil {
		return err
	}
	if d.rung.msgRing && !d.config.EventFD {
		w.ring = ring.NewWakerOn(d.config.Kernel, d.ring.FD(), opWake, 0)
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
		if w.parked.Load() {
			d.park.signal()
		}
	}
}

// woken handles a completion of the eventfd's poll, which ends by itself when the completion queue is full. A driver
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
	if d.closing {
		return
	}
	if w.failures > maxPollFailures {
		d.err = fmt.Errorf("uring: poll the eventfd: %w", syscall.Errno(-c.Res))
		return
	}
	d.watchEvent()
}

// maxPollFailures is how often in a row the eventfd's poll may fail, as it does when the kernel lacks memory.
const maxPollFailures = 16

func (w *waker) close() {
	w.mu.Lock()
	w.ring = nil
	w.mu.Unlock()
	if w.event != nil {
		w.event.Close()
	}
}
