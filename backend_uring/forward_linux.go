package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// A socket whose Forwarder wants what comes is polled for, in place of a receive, and splice(2) moves the bytes:
//
//	armReceive ─► poll ─► readable ─► Forwarding.Move ─► the Forwarder's socket
//	    ▲                                 └► what finds no room there: Received
//	    └── Changed ◄─────────────────────┘

var _ backend.ForwardingDriver = (*Driver)(nil)

// Forwards implements backend.ForwardingDriver.
func (*Driver) Forwards() {}

// restSize is how many bytes that a Forwarder has left are reported at a time.
const restSize = 64 << 10

// readable handles the end of a poll that was armed in place of a receive.
func (d *Driver) readable(s *backend.Socket, c ring.CQE) {
	if s.State&releasing != 0 {
		return
	}
	s.State &^= hasMore
	err := error(syscall.Errno(-c.Res))
	if c.Res > 0 {
		if s.State&wantReceive == 0 {
			return
		}
		to, ok := backend.Descriptor{}, false
		if s.Forward != nil {
			to, ok = s.Forward.Wants()
		}
		if !ok {
			d.receiveBytes(s, d.buffers.size) // little: the Forwarder may want what comes behind it
			return
		}
		if err = d.moveOn(s, to); (err == syscall.EAGAIN || err == backend.ErrPending) && c.Res&unix.POLLERR != 0 {
			backend.DrainErrors(s.FD())
		}
		if err == backend.ErrPending { // nothing was reported, and so all is as it was
			d.receiveBytes(s, d.buffers.size)
			return
		}
	}
	if s.State&releasing != 0 {
		return
	}
	if err == syscall.EAGAIN || err == syscall.ECANCELED || err == syscall.EINTR {
		d.Changed(s) // ask again, if it is wanted
		return
	}
	d.SetInterest(s, wantReceive, false)
	s.Owner.ReceiveEnded(err)
}

// moveOn has the socket's Forwarder take what has come, and reports what it leaves. It returns what Forwarding.Move does.
func (d *Driver) moveOn(s *backend.Socket, to backend.Descriptor) error {
	left, err := d.forward.Move(s, to, &d.count[backend.SystemCalls])
	if left == 0 {
		return err
	}
	if d.rest == nil {
		d.rest = make([]byte, restSize)
	}
	for left > 0 {
		n, err := d.forward.Rest(d.rest[:min(left, restSize)], &d.count[backend.SystemCalls])
		if err != nil {
			return err
		}
		left -= n
		s.Owner.Received(d.rest[:n:n])
		backend.Poison(d.rest[:n])
	}
	return syscall.EAGAIN
}
