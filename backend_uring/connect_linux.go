package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Connect implements backend.Driver. The owner has called connect(2) already; the socket becomes writable when that has
// finished.
func (d *Driver) Connect(s *backend.Socket) {
	s.State |= connecting
	d.request(s, opConnect).PrepPollAdd(s.FD(), unix.POLLOUT, false)
}

func (d *Driver) connected(s *backend.Socket, c ring.CQE) {
	if s == nil {
		return
	}
	s.State &^= connecting
	if s.State&releasing != 0 {
		return
	}
	if c.Res < 0 {
		s.Owner.Connected(syscall.Errno(-c.Res))
		return
	}
	err := backend.TakeError(s.FD())
	if err == nil && c.Res&(unix.POLLOUT|unix.POLLHUP) == 0 {
		backend.DrainErrors(s.FD())
		d.Connect(s) // it is still in progress
		return
	}
	s.Owner.Connected(err)
}
