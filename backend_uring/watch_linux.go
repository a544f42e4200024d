package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// watch polls for the hang-ups of a stream. A stream that does not receive would not learn of them otherwise. A
// multishot receive may overlook an end that comes right behind bytes: the kernel merges the two wake-ups and answers
// with the bytes alone. Seen on Linux 6.18 with RST, and on Unix sockets with any end; io_poll_check_events in
// io_uring/poll.c. The watch also reports an error queue that is not empty, with which a receive or a send would try
// again and again.
func (d *Driver) watch(s *backend.Socket) {
	if s.State&(hung|wantReceive) == hung {
		s.Owner.HungUp() // it came while receiving was on, and the receive that would have reported it was cancelled
	}
	if s.State&(watched|watchFailed|pollEnded|releasing) == 0 {
		// POLLERR, POLLHUP and POLLRDHUP need not be in the mask. Multishot is edge-triggered, so a lasting hang-up is
		// reported once. Since Linux 5.13; io_uring_prep_poll_multishot(3).
		s.State |= watched
		d.request(s, opWatch).PrepPollAdd(s.FD(), 0, true)
	}
}

// hungUp handles a completion of the watch, which ends by itself when the completion queue is full.
func (d *Driver) hungUp(s *backend.Socket, c ring.CQE, last bool) {
	if s == nil {
		return
	}
	if last {
		s.State &^= watched
	}
	if s.State&releasing != 0 {
		return
	}
	if c.Res < 0 { // without a watch an end could be overlooked, so the stream ends here
		s.State |= watchFailed
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(syscall.Errno(-c.Res))
		return
	}
	if last {
		d.pollAgain(s)
	}
	receivesEnd := c.Res&unix.POLLHUP != 0 && s.State&wantReceive != 0 // then what is in the error queue does not matter
	if c.Res&unix.POLLERR != 0 && !receivesEnd && backend.DrainErrors(s.FD()) && !backend.HasError(s.FD()) {
		c.Res &^= unix.POLLERR
		if s.State&(armed|multi) == armed { // it retried because of the queue until a worker thread took it, which it blocks
			s.State |= overlooked
			d.Changed(s)
		}
	}
	if c.Res&(unix.POLLERR|unix.POLLHUP|unix.POLLRDHUP) == 0 {
		return
	}
	s.State |= hung // from now on each receive is a request of its own, which cannot overlook the end
	if s.State&sending != 0 && c.Res&(unix.POLLERR|unix.POLLHUP) == 0 {
		d.cancel(opSend, s) // it would retry again and again; see awaitRoom
	}
	if s.State&multi != 0 { // also while it is being cancelled: that may fail, and the receive be wanted again
		s.State |= overlooked
		d.Changed(s)
	}
	if s.State&wantReceive == 0 {
		s.Owner.HungUp()
	}
}

// pollAgain has a poll armed again that ended because the completion queue was full.
func (d *Driver) pollAgain(s *backend.Socket) {
	if s.State&pollEnded == 0 {
		s.State |= pollEnded
		d.repolls.push(s)
	}
}

// repoll arms some of these polls again. Most of them report at once what they have reported before. If there were more
// of them than room for completions, they would end again, and this would never stop.
func (d *Driver) repoll() {
	if d.repolls.len() == 0 || d.ring.Overflowed() {
		return
	}
	for range min(d.repolls.len(), max(d.config.CompletionEntries/4, 1)) {
		s := d.repolls.pop()
		if s.State&pollEnded == 0 || d.Lookup(s.ID) != s {
			continue
		}
		s.State &^= pollEnded
		d.watch(s)
		if s.State&(roomAwaited|releasing) == roomAwaited {
			d.pollRoom(s)
		}
	}
}
