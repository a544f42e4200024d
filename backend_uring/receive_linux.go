package uring

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// How sockets share the buffers. A receive takes one buffer after the other until the socket is empty, and the driver
// reports the bytes even if the owner wants no more by then. So each receive is bounded, and a socket that has more
// waits in line:
//
//	a socket with little to receive     a multishot receive of at most multishotBytes in all
//	one that left bytes in the kernel   waits in the line bulk for a share of the buffers
//	one that found no buffer            waits in the line quiet, which is served first
//
// A quarter of the buffers is reserved for sockets with little to receive.

const (
	// multishotBytes bounds what one multishot receive reports; its last buffer may exceed it.
	multishotBytes = backend.MaxOvershoot / 2
	// shareBytes is the minimum that a socket in bulk gets at a time, if there are enough buffers: bytes that are
	// received together can be answered together, which costs less.
	shareBytes = 64 << 10
	// pieceBytes bounds what one completion reports, whatever the size of the buffers.
	pieceBytes = backend.MaxOvershoot / 2
)

// armReceive asks for bytes, or to be told that there are some, if files may come with them, or a Forwarder is likely
// to want them; see readable.
func (d *Driver) armReceive(s *backend.Socket, limit int) {
	if !s.Files && !s.ExpectsForward() {
		d.receiveBytes(s, limit)
		return
	}
	s.State |= armed | polled
	d.request(s, opReceive).PrepPollAdd(s.FD(), unix.POLLIN, false)
}

// receiveBytes asks for bytes. Once the watch has seen the end it uses no multishot receive, which would overlook the end
// again.
func (d *Driver) receiveBytes(s *backend.Socket, limit int) {
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

func (d *Driver) received(s *backend.Socket, c ring.CQE, last bool) {
	capped, readiness := false, false
	if s != nil && last {
		capped, readiness = s.State&multi != 0, s.State&polled != 0
		s.State &^= armed | multi | polled | cancelling | overlooked
	}
	if readiness {
		d.readable(s, c)
		return
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
			s.Owner.ReceiveEnded(errno) // the kernel does not report it again
		}
		return
	}
	switch {
	case c.Res > 0 || errno == syscall.ECANCELED || errno == syscall.EINTR:
		d.Changed(s) // ask again, if it is wanted
	case errno == syscall.EAGAIN: // the socket became ready because of its error queue
		backend.DrainErrors(s.FD())
		d.Changed(s)
	case errno == syscall.ENOBUFS:
		d.awaitBuffer(s)
	case errno == syscall.EINVAL && capped: // others of the same kind may be in flight
		d.rung.multishot = false // a kernel before 6.17 cannot bound it
		d.Changed(s)
	case c.Res == 0:
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(io.EOF)
	default:
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(errno)
	}
}

// isFailure reports whether a request ended with an error of the connection. The kernel reports each of these once.
func isFailure(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECANCELED, syscall.EINTR, syscall.EAGAIN, syscall.ENOBUFS, syscall.EINVAL:
		return false
	}
	return true
}

// report lends received bytes to the owner, and gives the buffer back.
func (d *Driver) report(s *backend.Socket, bid uint16, c ring.CQE) {
	if s == nil || c.Res <= 0 {
		d.buffers.back(bid)
		return
	}
	s.State &^= hasMore
	if c.Flags&ring.CQEFSockNonEmpty != 0 {
		s.State |= hasMore
	}
	p, outer := d.buffers.lend(bid, int(c.Res))
	s.Owner.Received(p)
	d.buffers.giveBack(outer)
}

// awaitBuffer puts a socket in line for a buffer. Without a buffer the kernel takes nothing out of the socket, so
// nothing is lost.
func (d *Driver) awaitBuffer(s *backend.Socket) {
	d.count[backend.NoBuffers]++
	if s.State&awaitsBuffer != 0 {
		return
	}
	s.State |= awaitsBuffer
	if s.State&hasMore != 0 {
		d.bulk.push(s)
	} else {
		d.quiet.push(s)
	}
}

// canServe reports whether sockets are waiting for buffers that are now free. Poll must not sleep then: the sockets
// served so far may have nothing to receive, so that no completion would end the sleep.
func (d *Driver) canServe() bool {
	return d.buffers.free > 0 && (d.flush.left > 0 || d.quiet.len()+d.bulk.len() > 0)
}

// serveQuiet lets sockets of quiet receive again, as many as there are buffers; if sockets wait in bulk too, it leaves
// them some. It returns how many it has served.
func (d *Driver) serveQuiet() int {
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

// serveBulk lets sockets of bulk receive. It leaves alone the free buffers that serveQuiet has promised to others.
func (d *Driver) serveBulk(promised int) {
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

// serve arms the receive of a socket that was in line.
func (d *Driver) serve(s *backend.Socket, limit int) {
	if s.State&awaitsBuffer == 0 || d.Lookup(s.ID) != s {
		return
	}
	s.State &^= awaitsBuffer
	if s.State&(wantReceive|armed|releasing) == wantReceive {
		d.armReceive(s, limit)
	}
}
