package uring

import (
	"io"
	"syscall"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// fileBufferSize is how much is received at a time from a socket with which files may come.
const fileBufferSize = 64 << 10

// Files that come with bytes need recvmsg(2), with memory for control messages. Sockets that are to receive some are polled,
// and then received from without waiting, as they are on epoll: they are few, and the buffers of the ring have no room for
// descriptors that a peer has sent and nobody has looked at.

// receiveFiles receives from a socket that was polled because files may come: as opReceive, in place of a receive.
func (d *Driver) receiveFiles(s *backend.Socket, c ring.CQE) {
	s.State &^= armed | multi | cancelling | overlooked
	switch {
	case s.State&releasing != 0:
		return
	case s.State&wantReceive == 0:
		d.Changed(s)
		return
	}
	if errno := syscall.Errno(-c.Res); c.Res < 0 && isFailure(errno) {
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(errno)
		return
	}
	buf := d.fileBuffer
	d.fileBuffer = nil // a callback may end the goroutine
	if buf == nil {
		buf = make([]byte, fileBufferSize)
	}
	d.count[backend.SystemCalls]++
	n, err := backend.ReceiveWithFiles(s, buf)
	switch {
	case n > 0:
		outer := d.buffers.loan
		d.buffers.loan = loan{} // Keep has nothing to give
		s.Owner.Received(buf[:n:n])
		d.buffers.loan = outer
		backend.Poison(buf[:n])
	case err == syscall.EAGAIN:
	default:
		if err == nil {
			err = io.EOF
		}
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(err)
	}
	d.fileBuffer = buf
	if s.State&releasing == 0 {
		d.Changed(s) // ask again, if it is wanted
	}
}

// SendFiles implements backend.Driver.
func (d *Driver) SendFiles(s *backend.Socket, bufs [][]byte, files []backend.Descriptor) (int, error) {
	s.State &^= roomSeen
	d.count[backend.SystemCalls]++
	n, err := backend.SendFiles(s.FD(), bufs, files)
	if err == syscall.EAGAIN {
		d.awaitRoom(s)
		return 0, backend.ErrPending
	}
	return n, err
}
