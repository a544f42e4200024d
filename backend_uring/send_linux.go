package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Send implements backend.Driver.
func (d *Driver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	e := d.request(s, opSend)
	if len(bufs) == 1 {
		e.PrepSend(s.FD, bufs[0], unix.MSG_NOSIGNAL)
	} else {
		v := backend.NewVector()
		v.Set(bufs)
		s.Op = v
		e.PrepSendMsg(s.FD, &v.Header, unix.MSG_NOSIGNAL)
	}
	return 0, backend.ErrPending
}

func (d *Driver) sent(s *backend.Socket, c CQE) {
	if s == nil {
		return
	}
	if v, ok := s.Op.(*backend.Vector); ok {
		s.Op = nil
		backend.FreeVector(v)
	}
	errno := syscall.Errno(-c.Res)
	switch {
	case c.Res >= 0:
		s.Owner.Sent(int(c.Res), nil) // also while it is being released: what the kernel took counts
	case s.State&releasing != 0:
	case errno == syscall.EINTR || errno == syscall.EAGAIN:
		s.Owner.Sent(0, nil)
	default:
		s.Owner.Sent(0, errno)
	}
}
