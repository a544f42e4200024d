package uring

import (
	"syscall"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// request returns an entry for an operation on a socket, which is in flight from now on. The caller fills in the rest;
// Prep leaves user_data alone.
func (d *Driver) request(s *backend.Socket, op uint64) *ring.SQE {
	s.InFlight++
	e := d.entry()
	e.UserData = op | uint64(s.ID)
	return e
}

// entry returns a zeroed entry. With a full queue it submits first.
func (d *Driver) entry() *ring.SQE {
	d.requests++
	d.count[backend.Submissions]++
	for {
		if e := d.ring.SQE(); e != nil {
			return e
		}
		err := d.ring.Submit()
		switch err {
		case nil:
		case syscall.EBUSY, syscall.EAGAIN:
			d.stash() // the kernel wants completions to be taken first
		default:
			d.err = err
			d.spare = ring.SQE{}
			return &d.spare
		}
	}
}
