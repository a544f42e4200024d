package uring

import (
	"syscall"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// request returns an entry for an operation on a socket, which counts as in flight from now on. The caller prepares it;
// the Prep methods do not touch user_data.
func (d *Driver) request(s *backend.Socket, op uint64) *ring.SQE {
	s.InFlight++
	e := d.entry()
	e.UserData = op | uint64(s.ID)
	return e
}

// entry returns a zeroed entry. If the queue is full it submits first.
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
			d.spill() // the kernel takes no entries before it has got rid of completions
		default:
			d.err = err
			d.spare = ring.SQE{}
			return &d.spare
		}
	}
}
