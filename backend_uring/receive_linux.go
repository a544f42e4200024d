package uring

import (
	"io"
	"slices"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

func (d *Driver) received(s *backend.Socket, c CQE, last bool) {
	if s != nil && last {
		s.State &^= armed | cancelling
	}
	if bid, ok := c.Buffer(); ok {
		if s != nil && c.Res > 0 {
			s.State |= fed
			s.Owner.Received(d.buffers.lend(bid, int(c.Res)))
		}
		d.buffers.giveBack(bid)
	}
	if s == nil || !last || s.State&releasing != 0 {
		return
	}
	errno := syscall.Errno(-c.Res)
	switch {
	case c.Res > 0 || errno == syscall.ECANCELED || errno == syscall.EINTR || errno == syscall.EAGAIN:
		d.changes.Add(s) // ask again, if it is wanted
	case errno == syscall.ENOBUFS:
		d.starve(s)
	case c.Res == 0:
		d.want(s, wantReceive, false)
		s.Owner.ReceiveEnded(io.EOF)
	default:
		d.want(s, wantReceive, false)
		s.Owner.ReceiveEnded(errno)
	}
}

// starve keeps a socket until there are buffers again. The kernel takes nothing out of a socket without one, so
// nothing is lost. One that got nothing goes before those that did: a socket with much to receive takes all buffers
// there are each time it is fed, and the others would never have any.
func (d *Driver) starve(s *backend.Socket) {
	d.count[backend.NoBuffers]++
	d.buffers.grow()
	if s.State&starved == 0 {
		s.State |= starved
		if s.State&fed != 0 {
			d.hungry = append(d.hungry, s)
		} else {
			d.hungry = slices.Insert(d.hungry, d.unfed, s)
			d.unfed++
		}
	}
}

// feeds tells whether the next Poll has somebody to feed. Those who were fed now may have nothing to receive, so that
// no completion would bring the next Poll about.
func (d *Driver) feeds() bool { return len(d.hungry) > 0 && d.buffers.free > 0 }

// feed lets starved sockets receive again, as many as there are buffers.
func (d *Driver) feed() {
	d.buffers.collect()
	d.buffers.publish()
	n := min(len(d.hungry), d.buffers.free)
	for _, s := range d.hungry[:n] {
		s.State &^= starved
		if d.slots.Lookup(s.ID) == s {
			d.tellKernel(s) // before the wishes of those that have just received
		}
	}
	if n > 0 {
		k := copy(d.hungry, d.hungry[n:])
		clear(d.hungry[k:])
		d.hungry = d.hungry[:k]
		d.unfed = max(d.unfed-n, 0)
	}
	d.buffers.shrink(n > 0)
}
