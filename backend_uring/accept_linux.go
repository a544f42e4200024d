package uring

import (
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

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
