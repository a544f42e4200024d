package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// few is with how many completions a turn has little to do. Its sends, up to as many, go past the ring: what the ring saves
// are system calls, for many sends at once, and one send costs more there, and another completion.
const few = 2

// mayDirect reports whether sends may go past the ring at all.
func (d *Driver) mayDirect() bool {
	return d.rung.flags&ring.SetupDeferTaskrun != 0 && !d.config.RingSends && d.config.Kernel == nil
}

// allowDirect is called once in each turn, with the number of its completions.
func (d *Driver) allowDirect(completions int) {
	d.direct = 0
	if completions <= few {
		d.direct = d.mostDirect
	}
}

// Send implements backend.Driver.
func (d *Driver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	if d.direct > 0 {
		d.direct--
		d.count[backend.SystemCalls]++
		if n, err := backend.SendVector(s.FD(), bufs); err != syscall.EAGAIN {
			return n, err
		}
	}
	flags := uint32(unix.MSG_NOSIGNAL)
	if s.State&(dontWait|hung) != 0 {
		flags |= unix.MSG_DONTWAIT
	}
	s.State = s.State&^roomSeen | sending
	e := d.request(s, opSend)
	if len(bufs) == 1 {
		s.Op = firstByte(bufs[0]) // keeps the bytes reachable as long as the kernel may read them
		e.PrepSend(s.FD(), bufs[0], flags)
	} else {
		v := backend.NewVector()
		v.Set(bufs)
		s.Op = v
		e.PrepSendMsg(s.FD(), &v.Header, flags)
	}
	return 0, backend.ErrPending
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

// firstByte returns a pointer that keeps p reachable.
func firstByte(p []byte) *byte {
	if len(p) == 0 {
		return nil
	}
	return &p[0]
}

func (d *Driver) sent(s *backend.Socket, c ring.CQE) {
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
		s.Owner.Sent(int(c.Res), nil) // even while it is being released: the kernel has taken the bytes
	case s.State&releasing != 0:
		if isFailure(errno) {
			s.Owner.Sent(0, errno) // the kernel does not report it again
		}
	case errno == syscall.EINTR:
		s.Owner.Sent(0, nil)
	case errno == syscall.EAGAIN || errno == syscall.ECANCELED:
		d.awaitRoom(s)
	default:
		s.Owner.Sent(0, errno)
	}
}

// awaitRoom makes room call Sent when the socket has room. Usually a send waits for room in the kernel. That wait fails
// if the peer has finished sending or the error queue is not empty: both end it at once, and after some retries, the
// last of them on a worker thread, the send gives up with EAGAIN; io_arm_poll_handler in io_uring/poll.c. A multishot
// poll reports both only once.
func (d *Driver) awaitRoom(s *backend.Socket) {
	backend.DrainErrors(s.FD())
	s.State |= dontWait
	if s.State&roomSeen != 0 { // during the send
		s.Owner.Sent(0, nil)
		return
	}
	s.State |= roomAwaited
	d.pollRoom(s)
}

// pollRoom keeps one poll for room in flight as long as the socket lives. The poll is edge-triggered: it reports when a
// send that found no room could continue.
func (d *Driver) pollRoom(s *backend.Socket) {
	if s.State&roomPolled == 0 {
		s.State |= roomPolled
		d.request(s, opRoom).PrepPollAdd(s.FD(), unix.POLLOUT, true)
	}
}

// room handles a completion of that poll, which ends by itself when the completion queue is full.
func (d *Driver) room(s *backend.Socket, c ring.CQE, last bool) {
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
