//go:build linux

package servers

import (
	"fmt"

	uring "github.com/tandem-io/tandem/backend_uring/ring"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

// The kind of a request, in the highest byte of its user data. The buffer is below, and the descriptor in the lower
// half.
const (
	requestAccept = iota + 1
	requestReceive
	requestSend
	requestStop
)

func userData(request, fd int, bid uint16) uint64 {
	return uint64(request)<<56 | uint64(bid)<<32 | uint64(uint32(fd))
}

// entry returns a free submission entry. If there is none even after submitting, the loop ends: the ring has more
// entries than the floor can need.
func (s *bareUring) entry() *uring.SQE {
	e := s.ring.SQE()
	if e == nil {
		if err := s.ring.Submit(); err != nil {
			s.err = fmt.Errorf("make room for submissions: %w", err)
		}
		if e = s.ring.SQE(); e == nil {
			return new(uring.SQE) // goes nowhere
		}
	}
	return e
}

func (s *bareUring) accept() {
	e := s.entry()
	e.PrepAcceptMultishot(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	e.UserData = userData(requestAccept, s.listener, 0)
}

// watchStop wakes the loop when the server is closed.
func (s *bareUring) watchStop() {
	e := s.entry()
	e.PrepPollAdd(s.wake, unix.POLLIN, false)
	e.UserData = userData(requestStop, s.wake, 0)
}

func (s *bareUring) receive(fd int) {
	e := s.entry()
	e.PrepRecvMultishot(fd, ringGroup)
	e.UserData = userData(requestReceive, fd, 0)
}

func (s *bareUring) send(fd int, c chunk) {
	s.conns[fd].sending = true
	e := s.entry()
	// MSG_WAITALL: the kernel goes on by itself after a short send. Since Linux 5.19; io_uring_prep_send(3).
	e.PrepSend(fd, s.buffer(c.bid, c.n), unix.MSG_WAITALL|unix.MSG_NOSIGNAL)
	e.UserData = userData(requestSend, fd, c.bid)
}

// complete handles one completion.
func (s *bareUring) complete(c *uring.CQE) {
	fd := int(int32(c.UserData))
	switch c.UserData >> 56 {
	case requestAccept:
		s.accepted(c)
	case requestReceive:
		s.received(fd, c)
	case requestSend:
		s.sent(fd, uint16(c.UserData>>32), c.Res)
	}
}

func (s *bareUring) accepted(c *uring.CQE) {
	if fd := int(c.Res); fd >= 0 {
		for fd >= len(s.conns) {
			s.conns = append(s.conns, uringConn{})
		}
		s.conns[fd] = uringConn{}
		s.receive(fd)
	} else if errno := unix.Errno(-c.Res); errno != unix.ECONNABORTED {
		s.err = fmt.Errorf("accept: %w", errno)
		return
	}
	if !c.More() {
		s.accept()
	}
}

func (s *bareUring) received(fd int, c *uring.CQE) {
	conn := &s.conns[fd]
	if bid, ok := c.Buffer(); ok {
		s.take(fd, chunk{bid, uint32(c.Res)})
	}
	switch {
	case c.More():
	case c.Res > 0:
		s.receive(fd)
	case c.Res == -int32(unix.ENOBUFS):
		s.starved = append(s.starved, fd)
	default:
		conn.ended = true
		s.closeEnded(fd)
	}
}

// take sends back what was received, or drops it.
func (s *bareUring) take(fd int, c chunk) {
	if s.Mode == workload.ModeDiscard {
		s.giveBack(c.bid)
		return
	}
	burn(s.Work)
	if conn := &s.conns[fd]; conn.sending {
		conn.queue = append(conn.queue, c)
		return
	}
	s.send(fd, c)
}

// sent returns the buffer, and sends the next chunk that was received meanwhile.
func (s *bareUring) sent(fd int, bid uint16, res int32) {
	conn := &s.conns[fd]
	conn.sending = false
	s.giveBack(bid)
	if res <= 0 {
		for _, c := range conn.queue {
			s.giveBack(c.bid)
		}
		conn.queue = nil
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // which ends the receive
	}
	if len(conn.queue) > 0 {
		next := conn.queue[0]
		conn.queue = append(conn.queue[:0], conn.queue[1:]...)
		s.send(fd, next)
		return
	}
	s.closeEnded(fd)
}

// giveBack returns a buffer to the kernel at the end of the turn.
func (s *bareUring) giveBack(bid uint16) {
	s.bufs.Add(bid, s.buffer(bid, ringBufferSize))
	s.returned++
}

// endTurn publishes the returned buffers, and lets as many waiting connections receive again.
func (s *bareUring) endTurn() {
	s.bufs.Publish()
	n := min(s.returned, len(s.starved))
	for _, fd := range s.starved[:n] {
		s.receive(fd)
	}
	s.starved = s.starved[:copy(s.starved, s.starved[n:])]
	s.returned = 0
}

// closeEnded closes a connection on which nothing more is in flight.
func (s *bareUring) closeEnded(fd int) {
	if conn := &s.conns[fd]; conn.ended && !conn.sending {
		_ = unix.Close(fd)
	}
}
