package uring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// watch asks for the hang-ups of a stream: of one that does not receive, because nothing else would tell; and of one
// that does, because a multishot receive may overlook an end that comes right behind bytes: two wake-ups become one, of
// which the bytes are the whole answer, and there is no third. Seen on Linux 6.18 with RST, and on Unix sockets with any
// end; io_poll_check_events in io_uring/poll.c. It also tells of an error queue that is not empty, with which a receive
// or a send would try again and again.
func (d *Driver) watch(s *backend.Socket) {
	if s.State&(hung|wantReceive) == hung {
		s.Owner.Broken() // it came while receiving was on, and the receive that would have told was cancelled
	}
	if s.State&(watched|unwatched|ended|releasing) == 0 {
		// POLLERR, POLLHUP and POLLRDHUP are always watched for. Multishot is edge-triggered, so a hang-up that lasts
		// is reported once. Since Linux 5.13; io_uring_prep_poll_multishot(3).
		s.State |= watched
		d.request(s, opWatch).PrepPollAdd(s.FD(), 0, true)
	}
}

// hungUp deals with a completion of the watch. The watch ends by itself when the completion queue is full.
func (d *Driver) hungUp(s *backend.Socket, c CQE, last bool) {
	if s == nil {
		return
	}
	if last {
		s.State &^= watched
	}
	if s.State&releasing != 0 {
		return
	}
	if c.Res < 0 { // without a watch an end could be overlooked
		s.State |= unwatched
		d.want(s, wantReceive, false)
		s.Owner.ReceiveEnded(syscall.Errno(-c.Res))
		return
	}
	if last {
		d.pollAgain(s)
	}
	if c.Res&unix.POLLERR != 0 && backend.DrainErrors(s.FD()) && !backend.HasError(s.FD()) {
		c.Res &^= unix.POLLERR
		if s.State&(armed|multi) == armed { // it has tried in vain until a worker thread took it, and holds that up
			s.State |= overlooked
			d.changes.Add(s)
		}
	}
	if c.Res&(unix.POLLERR|unix.POLLHUP|unix.POLLRDHUP) == 0 {
		return
	}
	s.State |= hung // the rest is received by requests of one shot, each of which looks for itself
	if s.State&sending != 0 && c.Res&(unix.POLLERR|unix.POLLHUP) == 0 {
		d.cancel(opSend, s) // it would try again and again; see awaitRoom
	}
	switch {
	case s.State&wantReceive == 0:
		s.Owner.Broken()
	case s.State&multi != 0:
		s.State |= overlooked
		d.changes.Add(s)
	}
}

// pollAgain arms a poll again that has ended because the completion queue was full.
func (d *Driver) pollAgain(s *backend.Socket) {
	if s.State&ended == 0 {
		s.State |= ended
		d.ended.push(s)
	}
}

// repoll does so for some. Most of these polls report at once what they have reported before: with more of them than
// there is room for completions they would end again, and so on for ever.
func (d *Driver) repoll() {
	if d.ended.len() == 0 || d.ring.Overflowed() {
		return
	}
	for range min(d.ended.len(), max(d.config.CompletionEntries/4, 1)) {
		s := d.ended.pop()
		if s.State&ended == 0 || d.slots.Lookup(s.ID) != s {
			continue
		}
		s.State &^= ended
		d.watch(s)
		if s.State&(roomAwaited|releasing) == roomAwaited {
			d.pollRoom(s)
		}
	}
}
