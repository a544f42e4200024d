package uring

import (
	"io"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// How the buffers are shared. A receive takes them by itself, one after the other, until the socket is empty, and what
// it has taken is reported whatever the owner wants by then. So each receive is bounded, and a socket that has more than
// that waits in line:
//
//	a socket with little to receive     a multishot receive of at most multishotBytes in all
//	one that left bytes in the kernel   its turn in the line of bulk, for a share of the buffers
//	one that found no buffer            its turn in the line of the quiet, which is fed first
//
// A quarter of the buffers is not given to bulk, but left to those who have little to receive.

const (
	// multishotBytes bounds what one multishot receive reports, but for the last buffer's part.
	multishotBytes = backend.MaxOvershoot / 2
	// shareBytes is the least that a socket with more to receive is given at a time, if there is so much: what is
	// received at once can be answered at once, which costs less.
	shareBytes = 64 << 10
	// pieceBytes bounds what one completion reports, however large the buffers are.
	pieceBytes = backend.MaxOvershoot / 2
)

// armReceive asks for bytes. Once the end is known to have come, a multishot receive would overlook it again.
func (d *Driver) armReceive(s *backend.Socket, limit int) {
	s.State |= armed
	e := d.request(s, opReceive)
	piece := min(d.buffers.size, pieceBytes)
	if !d.rung.multishot || s.State&hung != 0 || limit <= piece {
		e.PrepRecvSelect(s.FD(), bufferGroup, uint32(piece))
		return
	}
	s.State |= multi
	e.PrepRecvMultishot(s.FD(), bufferGroup)
	e.LimitMultishot(uint32(piece), uint32(min(limit, multishotBytes)))
}

func (d *Driver) received(s *backend.Socket, c CQE, last bool) {
	capped := false
	if s != nil && last {
		capped = s.State&multi != 0
		s.State &^= armed | multi | cancelling
	}
	if bid, ok := c.Buffer(); ok {
		d.report(s, bid, c)
	}
	if s == nil || !last {
		return
	}
	errno := syscall.Errno(-c.Res)
	if s.State&releasing != 0 {
		if c.Res < 0 && isFailure(errno) {
			s.Owner.ReceiveEnded(errno) // the socket does not tell it again
		}
		return
	}
	switch {
	case c.Res > 0 || errno == syscall.ECANCELED || errno == syscall.EINTR:
		d.changes.Add(s) // ask again, if it is wanted
	case errno == syscall.EAGAIN: // what made the socket ready is not for a receive
		backend.DrainErrors(s.FD())
		d.changes.Add(s)
	case errno == syscall.ENOBUFS:
		d.starve(s)
	case errno == syscall.EINVAL && capped && d.rung.multishot:
		d.rung.multishot = false // a kernel before 6.17, which cannot bound it
		d.changes.Add(s)
	case c.Res == 0:
		d.want(s, wantReceive, false)
		s.Owner.ReceiveEnded(io.EOF)
	default:
		d.want(s, wantReceive, false)
		s.Owner.ReceiveEnded(errno)
	}
}

// isFailure reports whether a request ended with an error of the connection. The kernel tells each of these once.
func isFailure(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECANCELED, syscall.EINTR, syscall.EAGAIN, syscall.ENOBUFS, syscall.EINVAL:
		return false
	}
	return true
}

// report lends what has come to the owner, and gives the buffer back.
func (d *Driver) report(s *backend.Socket, bid uint16, c CQE) {
	if s == nil || c.Res <= 0 {
		d.buffers.back(bid)
		return
	}
	s.State &^= more
	if c.Flags&CQEFSockNonEmpty != 0 {
		s.State |= more
	}
	p, outer := d.buffers.lend(bid, int(c.Res))
	s.Owner.Received(p)
	d.buffers.giveBack(outer)
}

// starve has a socket wait for a buffer. The kernel takes nothing out of a socket without one, so nothing is lost.
func (d *Driver) starve(s *backend.Socket) {
	d.count[backend.NoBuffers]++
	if s.State&starved != 0 {
		return
	}
	s.State |= starved
	if s.State&more != 0 {
		d.bulk.push(s)
	} else {
		d.quiet.push(s)
	}
}

// feeds reports whether the next Poll has somebody to feed. Those who were fed now may have nothing to receive, so that
// no completion would bring the next Poll about.
func (d *Driver) feeds() bool {
	return d.buffers.free > 0 && (d.flush.left > 0 || d.quiet.len()+d.bulk.len() > 0)
}

// feedQuiet lets starved sockets receive again, as many as there are buffers; if others wait too, it leaves them some.
// It returns how many.
func (d *Driver) feedQuiet() int {
	b := d.buffers
	b.collect()
	if wait := d.quiet.len() + d.bulk.len(); wait > 0 && b.free < max(d.quiet.len(), min(wait, max(b.perSlab/4, 1))) {
		if b.grow() {
			d.flush.left = 0
		}
	}
	b.publish()
	n := min(d.quiet.len(), b.free)
	if d.bulk.len() > 0 && n > 1 {
		n = min(n, b.free-b.free/4)
	}
	for range n {
		d.serve(d.quiet.pop(), multishotBytes)
	}
	return n
}

// feedBulk lets sockets that have more to receive take their turn. Some of the free buffers are promised to the quiet.
func (d *Driver) feedBulk(promised int) {
	n := d.bulk.len()
	if n == 0 || d.buffers.free == 0 {
		return
	}
	room := max(d.buffers.free-promised-d.buffers.perSlab/4, 1)
	share := min(max(room/(2*n), shareBytes/d.buffers.size, 1), room)
	for range min(n, room/share) {
		d.serve(d.bulk.pop(), share*d.buffers.size)
	}
}

// serve takes a socket out of the line.
func (d *Driver) serve(s *backend.Socket, limit int) {
	if s.State&starved == 0 || d.slots.Lookup(s.ID) != s {
		return
	}
	s.State &^= starved
	if s.State&(wantReceive|armed|releasing) == wantReceive {
		d.armReceive(s, limit)
	}
}
