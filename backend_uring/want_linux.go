package uring

import (
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Receive implements backend.Driver.
func (d *Driver) Receive(s *backend.Socket, on bool) {
	s.State |= stream
	d.want(s, wantReceive, on)
}

// Accept implements backend.Driver.
func (d *Driver) Accept(s *backend.Socket, on bool) { d.want(s, wantAccept, on) }

func (d *Driver) want(s *backend.Socket, wish uint32, on bool) {
	if on {
		s.State |= wish
	} else {
		s.State &^= wish
	}
	d.changes.Add(s)
}

// tellKernel asks the kernel for what is wanted from a socket now. What is in flight against that is cancelled; when
// that has ended, it comes here again.
func (d *Driver) tellKernel(s *backend.Socket) {
	if s.State&releasing != 0 {
		return
	}
	wanted := s.State&(wantReceive|wantAccept) != 0
	switch {
	case wanted && s.State&(armed|starved) == 0:
		d.arm(s)
	case s.State&armed != 0 && (!wanted || s.State&overlooked != 0):
		d.cancel(s) // when it has ended it is armed again, if it is wanted
	}
	s.State &^= overlooked
	d.watch(s)
}

// watch asks for the hang-ups of a stream: those that come while nothing is received, and all if receives are
// multishot. A multishot receive may overlook an end that comes right behind bytes: two wake-ups become one, of which
// the bytes are the whole answer, and there is no third. Seen on Linux 6.18 with RST, and on Unix sockets with any end;
// io_poll_check_events in io_uring/poll.c.
func (d *Driver) watch(s *backend.Socket) {
	if s.State&stream == 0 {
		return
	}
	switch receives := s.State&wantReceive != 0; {
	case s.State&hung != 0 && !receives:
		s.Owner.Broken() // it came while receiving was on, and the receive that would have told was cancelled
	case s.State&(watched|hung) == 0 && (!receives || d.rung.multishot):
		// POLLERR, POLLHUP and POLLRDHUP are always watched for. Multishot is edge-triggered, so a hang-up that lasts
		// is reported once. Since Linux 5.13; io_uring_prep_poll_multishot(3).
		s.State |= watched
		d.request(s, opWatch).PrepPollAdd(s.FD, 0, true)
	}
}

// arm asks for connections or bytes. Once the end is known to have come, a multishot receive would overlook it again.
func (d *Driver) arm(s *backend.Socket) {
	s.State = s.State&^fed | armed
	switch {
	case s.State&wantAccept != 0:
		d.armAccept(s)
	case d.rung.multishot && s.State&hung == 0:
		d.request(s, opReceive).PrepRecvMultishot(s.FD, bufferGroup)
	default:
		d.request(s, opReceive).PrepRecvSelect(s.FD, bufferGroup, 0)
	}
}

func (d *Driver) cancel(s *backend.Socket) {
	if s.State&cancelling != 0 {
		return
	}
	s.State |= cancelling
	op := opReceive
	if s.State&stream == 0 {
		op = opAccept
	}
	d.request(s, opCancel).PrepCancel(op|uint64(s.ID), 0)
}

// Connect implements backend.Driver. The connect(2) itself was made by a system call; a socket becomes writable when
// it has ended.
func (d *Driver) Connect(s *backend.Socket) {
	d.request(s, opConnect).PrepPollAdd(s.FD, unix.POLLOUT, false)
}

func (d *Driver) hungUp(s *backend.Socket, c CQE, last bool) {
	if s == nil {
		return
	}
	if last {
		s.State &^= watched
	}
	if c.Res > 0 && c.Res&(unix.POLLERR|unix.POLLHUP|unix.POLLRDHUP) != 0 {
		s.State |= hung // the rest is received by requests of one shot, each of which looks for itself
	}
	switch {
	case s.State&releasing != 0 || c.Res < 0:
	case s.State&wantReceive != 0:
		s.State |= overlooked
		d.changes.Add(s)
	case s.State&hung != 0:
		s.Owner.Broken()
	case last:
		d.changes.Add(s)
	}
}
