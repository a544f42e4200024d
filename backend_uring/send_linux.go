package uring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Send implements backend.Driver.
func (d *Driver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	flags := uint32(unix.MSG_NOSIGNAL)
	if s.State&(patient|hung) != 0 {
		flags |= unix.MSG_DONTWAIT
	}
	s.State = s.State&^roomSeen | sending
	e := d.request(s, opSend)
	if len(bufs) == 1 {
		s.Op = unsafe.SliceData(bufs[0]) // reachable as long as the kernel may read it
		e.PrepSend(s.FD(), bufs[0], flags)
	} else {
		v := backend.NewVector()
		v.Set(bufs)
		s.Op = v
		e.PrepSendMsg(s.FD(), &v.Header, flags)
	}
	return 0, backend.ErrPending
}

func (d *Driver) sent(s *backend.Socket, c CQE) {
	if s == nil {
		return
	}
	s.State &^= sending
	if v, ok := s.Op.(*backend.Vector); ok {
		backend.FreeVector(v)
	}
	s.Op = nil
	errno := syscall.Errno(-c.Res)
	switch {
	case c.Res >= 0:
		s.Owner.Sent(int(c.Res), nil) // also while it is being released: what the kernel took counts
	case s.State&releasing != 0:
		if isFailure(errno) {
			s.Owner.Sent(0, errno) // the socket does not tell it again
		}
	case errno == syscall.EINTR:
		s.Owner.Sent(0, nil)
	case errno == syscall.EAGAIN || errno == syscall.ECANCELED:
		d.awaitRoom(s)
	default:
		s.Owner.Sent(0, errno)
	}
}

// awaitRoom has Sent called when a socket has room. A send waits for it in the kernel, but not behind a peer that has
// finished sending, nor with an error queue that is not empty: these end its wait at once, and after some tries, the
// last of them on a worker thread, it gives up with EAGAIN; io_arm_poll_handler in io_uring/poll.c. A poll reports them
// once.
func (d *Driver) awaitRoom(s *backend.Socket) {
	backend.DrainErrors(s.FD())
	s.State |= patient
	if s.State&roomSeen != 0 { // while the send was under way
		s.Owner.Sent(0, nil)
		return
	}
	s.State |= roomAwaited
	d.pollRoom(s)
}

// pollRoom has one poll for room in flight as long as the socket lives. It is edge-triggered: the kernel wakes it when a
// send that found no room could go on.
func (d *Driver) pollRoom(s *backend.Socket) {
	if s.State&roomPolled == 0 {
		s.State |= roomPolled
		d.request(s, opRoom).PrepPollAdd(s.FD(), unix.POLLOUT, true)
	}
}

// room deals with a completion of that poll, which ends by itself when the completion queue is full.
func (d *Driver) room(s *backend.Socket, c CQE, last bool) {
	if s == nil {
		return
	}
	if last {
		s.State &^= roomPolled
	}
	if s.State&releasing != 0 {
		return
	}
	var err error
	switch {
	case c.Res < 0:
		err = syscall.Errno(-c.Res)
	case c.Res&(unix.POLLOUT|unix.POLLHUP) != 0, c.Res&unix.POLLERR != 0 && !(backend.DrainErrors(s.FD()) && !backend.HasError(s.FD())):
		s.State |= roomSeen
	}
	if s.State&roomAwaited == 0 {
		return // the next send that finds no room polls again
	}
	if err != nil || s.State&roomSeen != 0 {
		s.State &^= roomAwaited
		s.Owner.Sent(0, err)
	} else if last {
		d.pollAgain(s)
	}
}
