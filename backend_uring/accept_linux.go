package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// maxAccepts bounds how many connections of a bounded socket one completion brings.
const maxAccepts = 64

// armAccept asks for connections. A multishot accept takes the whole backlog before it can be cancelled.
func (d *Driver) armAccept(s *backend.Socket) {
	if s.Bounded {
		d.request(s, opAccept).PrepAccept(s.FD(), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	} else {
		d.request(s, opAccept).PrepAcceptMultishot(s.FD(), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	}
}

// updateAccept is updateKernel for a listening socket.
func (d *Driver) updateAccept(s *backend.Socket) {
	switch wanted := s.State&wantAccept != 0; {
	case wanted && s.State&armed == 0:
		s.State |= armed
		d.armAccept(s)
	case !wanted && s.State&(armed|cancelling) == armed:
		s.State |= cancelling
		d.cancel(opAccept, s)
	}
}

func (d *Driver) accepted(s *backend.Socket, c ring.CQE, last bool) {
	if s != nil && last {
		s.State &^= armed | cancelling
	}
	switch {
	case c.Res >= 0 && s == nil:
		backend.CloseFD(int(c.Res))
		return
	case c.Res >= 0:
		s.Owner.Accepted(backend.NewDescriptor(int(c.Res)), backend.Address{}, nil)
		d.acceptMore(s) // nothing, once it is being released
	case s == nil || s.State&releasing != 0:
		return
	case c.Res != -int32(syscall.ECANCELED):
		d.SetInterest(s, wantAccept, false)
		s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, syscall.Errno(-c.Res))
	}
	if last && s.State&releasing == 0 {
		d.Changed(s)
	}
}

// acceptMore takes the rest of the backlog of a bounded socket, so that a burst does not need a turn for each
// connection. It takes nothing from a shared socket, where accept4(2) could block. It leaves errors for the next
// request to report.
func (d *Driver) acceptMore(s *backend.Socket) {
	for range maxAccepts - 1 {
		if !s.Bounded || s.Shared.Load() || s.State&wantAccept == 0 {
			return
		}
		d.count[backend.SystemCalls]++
		fd, err := backend.Accept(s.FD())
		if err != nil {
			return
		}
		s.Owner.Accepted(backend.NewDescriptor(fd), backend.Address{}, nil)
	}
}
