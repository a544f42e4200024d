package uring

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// waker ends the sleep of a driver from any goroutine: by a message to the ring, or where the kernel has none that
// needs no ring of the sender's (before Linux 6.13), by an eventfd that the ring polls.
type waker struct {
	event *backend.EventFD // nil: by messages

	mu     sync.Mutex // guards sender: the ring's number may become somebody else's
	sender *MsgSender
}

func (d *Driver) startWaker() (err error) {
	w := &d.waker
	if d.rung.messages && !d.config.EventFD {
		w.mu.Lock()
		w.sender = NewMsgSender(d.ring.FD(), opWake, 0)
		w.mu.Unlock()
		return nil
	}
	if w.event, err = backend.NewEventFD(); err != nil {
		return err
	}
	d.watchEvent()
	return nil
}

func (d *Driver) watchEvent() {
	e := d.entry()
	e.PrepPollAdd(d.waker.event.FD(), unix.POLLIN, true)
	e.UserData = opWake
}

// requests is how many of the driver's requests are the waker's.
func (w *waker) requests() int {
	if w.event != nil {
		return 1
	}
	return 0
}

// Wake implements backend.Driver.
func (d *Driver) Wake() {
	w := &d.waker
	if w.event != nil {
		w.event.Signal()
		return
	}
	w.mu.Lock()
	if w.sender != nil {
		_ = w.sender.Send() // fails only if the kernel is out of memory for a completion; then the loop has some to do
	}
	w.mu.Unlock()
}

// woken deals with a completion of the waker's.
func (d *Driver) woken(c CQE) {
	if d.waker.event == nil {
		return
	}
	d.waker.event.Drain()
	if !c.More() {
		d.requests--
		d.watchEvent()
	}
}

func (w *waker) close() {
	if w.event != nil {
		w.event.Close()
	}
	w.mu.Lock()
	w.sender = nil
	w.mu.Unlock()
}
