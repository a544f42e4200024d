package uring

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Some sockets are polled in place of a receive, and the driver makes the system call when there is something, as it does on
// epoll:
//
//	Files     recvmsg(2), with memory for control messages: they are few, and the buffers of the ring have no room for
//	          descriptors that a peer has sent and nobody has looked at
//	Forward   splice(2), while its Forwarder wants what comes
//
//	armReceive ─► poll ─► readable ─► receiveFiles, or Forwarding.Move ─► the Forwarder's socket
//	    ▲                                 │                └► what finds no room there: Received
//	    └── Changed ◄─────────────────────┘

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
		if s.Files {
			err = d.receiveFiles(s)
		} else {
			err = d.moveOn(s)
		}
		if (err == syscall.EAGAIN || err == backend.ErrPending) && c.Res&unix.POLLERR != 0 {
			backend.DrainErrors(s.FD())
		}
	}
	switch {
	case s.State&releasing != 0:
	case err == backend.ErrPending: // nothing was reported, and so all is as it was
		d.receiveBytes(s, d.buffers.size) // little: the Forwarder may want what comes behind it
	case err == syscall.EAGAIN || err == syscall.ECANCELED || err == syscall.EINTR:
		d.Changed(s) // ask again, if it is wanted
	default:
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(err)
	}
}

// receiveFiles receives bytes and files, and reports them. It returns EAGAIN, or how the stream has ended.
func (d *Driver) receiveFiles(s *backend.Socket) error {
	p := d.takeScratch()
	defer d.putScratch(p)
	d.count[backend.SystemCalls]++
	n, err := backend.ReceiveWithFiles(s, p)
	switch {
	case n > 0:
		d.reportScratch(s, p[:n:n])
		return syscall.EAGAIN
	case err == nil:
		return io.EOF
	}
	return err
}

var _ backend.ForwardingDriver = (*Driver)(nil)

// Forwards implements backend.ForwardingDriver.
func (*Driver) Forwards() {}

// moveOn has the socket's Forwarder take what has come, and reports what it leaves. It returns what Forwarding.Move does, and
// ErrPending also if the Forwarder does not want it.
func (d *Driver) moveOn(s *backend.Socket) error {
	if !s.Forwards {
		return backend.ErrPending
	}
	to, ok := s.WantsForward()
	if !ok {
		return backend.ErrPending
	}
	left, err := d.forward.Move(s, to, &d.count[backend.SystemCalls])
	if left == 0 {
		return err
	}
	p := d.takeScratch()
	defer d.putScratch(p)
	for left > 0 {
		n, err := d.forward.Rest(p[:min(left, len(p))], &d.count[backend.SystemCalls])
		if err != nil {
			return err
		}
		left -= n
		d.reportScratch(s, p[:n:n])
	}
	return syscall.EAGAIN
}

// scratchSize is how much is reported at a time that is not in a buffer of the ring.
const scratchSize = 64 << 10

// takeScratch returns memory of that size until putScratch.
func (d *Driver) takeScratch() []byte {
	p := d.scratch
	d.scratch = nil
	if p == nil {
		p = make([]byte, scratchSize)
	}
	return p
}

func (d *Driver) putScratch(p []byte) { d.scratch = p }

// reportScratch lends bytes to the owner that Keep cannot give away.
func (d *Driver) reportScratch(s *backend.Socket, p []byte) {
	outer := d.buffers.loan
	d.buffers.loan = loan{}
	s.Owner.Received(p)
	d.buffers.loan = outer
	backend.Poison(p)
}
