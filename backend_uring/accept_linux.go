package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// tellAccept is tellKernel for a listening socket.
func (d *Driver) tellAccept(s *backend.Socket) {
	switch wanted := s.State&wantAccept != 0; {
	case wanted && s.State&armed == 0:
		s.State |= armed
		d.armAccept(s)
	case !wanted && s.State&(armed|cancelling) == armed:
		s.State |= cancelling
		d.cancel(opAccept, s)
	}
}

// armAccept asks for connections.
func (d *Driver) armAccept(s *backend.Socket) {
	d.request(s, opAccept).PrepAcceptMultishot(s.FD, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
}

func (d *Driver) accepted(s *backend.Socket, c CQE, last bool) {
	if s != nil && last {
		s.State &^= armed | cancelling
	}
	switch {
	case c.Res >= 0 && (s == nil || s.State&releasing != 0):
		backend.CloseFD(int(c.Res))
		return
	case c.Res >= 0:
		s.Owner.Accepted(int(c.Res), backend.Address{}, nil)
	case s == nil || s.State&releasing != 0:
		return
	case c.Res != -int32(syscall.ECANCELED):
		d.want(s, wantAccept, false)
		s.Owner.Accepted(-1, backend.Address{}, syscall.Errno(-c.Res))
	}
	if last && s.State&releasing == 0 {
		d.changes.Add(s)
	}
}
