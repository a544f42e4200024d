package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Connect implements backend.Driver. The connect(2) itself was made by a system call; a socket becomes writable when
// it has ended.
func (d *Driver) Connect(s *backend.Socket) {
	s.State |= connecting
	d.request(s, opConnect).PrepPollAdd(s.FD(), unix.POLLOUT, false)
}

func (d *Driver) connected(s *backend.Socket, c CQE) {
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
		d.Connect(s) // it is still going on
		return
	}
	s.Owner.Connected(err)
}
