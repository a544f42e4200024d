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
//
// A shared socket is polled instead. An accept of io_uring waits exclusively: poll_exclusive in io_uring/opdef.c. A
// connection wakes only one that waits so, and if that one is being cancelled, or its process stops, nobody else hears of
// the connection until another comes. A poll is woken in any case.
func (d *Driver) armAccept(s *backend.Socket) {
	switch {
	case s.Shared.Load():
		s.State |= incoming
		d.request(s, opIncoming).PrepPollAdd(s.FD(), unix.POLLIN, false)
	case s.Bounded:
		d.request(s, opAccept).PrepAccept(s.FD(), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	default:
		d.request(s, opAccept).PrepAcceptMultishot(s.FD(), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	}
}

// acceptOp is what is armed on a listening socket.
func acceptOp(s *backend.Socket) uint64 {
	if s.State&incoming != 0 {
		return opIncoming
	}
	return opAccept
}

// updateAccept is updateKernel for a listening socket.
func (d *Driver) updateAccept(s *backend.Socket) {
	switch wanted := s.State&wantAccept != 0; {
	case wanted && s.State&armed == 0:
		s.State |= armed
		d.armAccept(s)
	case !wanted && s.State&(armed|cancelling) == armed:
		s.State |= cancelling
		d.cancel(acceptOp(s), s)
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
		d.acceptFailed(s, syscall.Errno(-c.Res))
	}
	if last && s.State&releasing == 0 {
		d.Changed(s)
	}
}

// arrived handles the poll of a shared listening socket.
func (d *Driver) arrived(s *backend.Socket, c ring.CQE) {
	if s == nil {
		return
	}
	s.State &^= armed | cancelling | incoming
	switch {
	case s.State&releasing != 0:
		return
	case c.Res >= 0:
		d.acceptShared(s)
	case c.Res != -int32(syscall.ECANCELED):
		d.acceptFailed(s, syscall.Errno(-c.Res))
	}
	if s.State&releasing == 0 {
		d.Changed(s)
	}
}

// acceptShared takes connections that others may take as well.
func (d *Driver) acceptShared(s *backend.Socket) {
	for range maxAccepts {
		if s.State&wantAccept == 0 {
			return
		}
		d.count[backend.SystemCalls]++
		fd, from, err := backend.AcceptShared(s.FD())
		switch err {
		case nil:
			s.Owner.Accepted(backend.NewDescriptor(fd), from, nil)
		case syscall.EAGAIN:
			return
		default:
			d.acceptFailed(s, err)
			return
		}
	}
}

func (d *Driver) acceptFailed(s *backend.Socket, err error) {
	d.SetInterest(s, wantAccept, false)
	s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, err)
}

// acceptMore takes the rest of the backlog of a bounded socket, so that a burst does not need a turn for each
// connection. It takes nothing from a socket that has become a shared one, where accept4(2) could block. It leaves errors
// for the next request to report.
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
