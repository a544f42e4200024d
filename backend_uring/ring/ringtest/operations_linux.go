package ringtest

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// issue begins a request, and reports whether its entry was valid.
func (r *instance) issue(e ring.SQE) bool {
	q := &request{SQE: e}
	switch e.Opcode {
	case ring.OpNop:
		r.finish(q, 0, 0)
		return true
	case ring.OpAsyncCancel:
		r.cancel(q)
		return true
	case ring.OpRead:
		r.read(q)
		return true
	case ring.OpRecv:
		q.events = unix.EPOLLIN | unix.EPOLLPRI | always
		if q.bounded = q.SpliceFdIn != 0; q.bounded && r.kernel.habits.NoLimit {
			r.finish(q, -int32(unix.EINVAL), 0)
			return false
		}
		q.left = int(q.SpliceFdIn)
	case ring.OpSend, ring.OpSendMsg:
		q.events = unix.EPOLLOUT | always
	case ring.OpAccept:
		q.events = unix.EPOLLIN | always
	case ring.OpPollAdd:
		q.events = e.OpFlags | always
	default:
		r.finish(q, -int32(unix.EINVAL), 0)
		return false
	}
	f, ok := r.fileOf(int(e.Fd))
	if !ok {
		r.finish(q, -int32(unix.EBADF), 0)
		return true
	}
	r.begin(q, f)
	r.try(q, r.poll(f, q.events))
	return true
}

// poll asks for what is ready now.
func (r *instance) poll(f *file, events uint32) uint32 {
	fds := []unix.PollFd{{Fd: int32(f.fd), Events: int16(events)}}
	if _, err := unix.Poll(fds, 0); err != nil {
		return 0
	}
	return uint32(uint16(fds[0].Revents))
}

// try attempts a request whose file has the events in mask.
func (r *instance) try(q *request, mask uint32) {
	if q.interrupted {
		q.interrupted = false
		r.finish(q, -int32(unix.EINTR), 0)
		return
	}
	switch q.Opcode {
	case ring.OpRecv:
		r.receive(q)
	case ring.OpSend, ring.OpSendMsg:
		r.send(q, mask)
	case ring.OpAccept:
		r.accept(q)
	case ring.OpPollAdd:
		r.report(q, mask)
	}
	q.waits = true
}

// accept takes connections. Any error ends a multishot request; io_accept in io_uring/net.c.
func (r *instance) accept(q *request) {
	if r.dice.chance(acceptFails, r.kernel.habits.AcceptFails) {
		errno := []syscall.Errno{unix.ENOMEM, unix.EMFILE, unix.ENFILE}[r.dice.below(acceptFails, 3)]
		r.finish(q, -int32(errno), 0)
		return
	}
	for {
		// The file may have been made blocking by somebody who shares it. The kernel never blocks here.
		if r.poll(q.file, unix.POLLIN)&(unix.POLLIN|unix.POLLERR|unix.POLLHUP) == 0 {
			return
		}
		fd, _, err := unix.Accept4(q.file.fd, int(q.OpFlags))
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EINTR:
			continue
		case err != nil:
			r.finish(q, -int32(err.(syscall.Errno)), 0)
			return
		case q.IoPrio&ring.AcceptMultishot == 0 || !r.postMore(q, int32(fd), 0):
			r.finish(q, int32(fd), 0)
			return
		}
	}
}

// report ends a poll, or reports events of a multishot one: io_poll_check_events in io_uring/poll.c.
func (r *instance) report(q *request, mask uint32) {
	if !q.waits && r.dice.chance(pollFails, r.kernel.habits.PollFails) {
		r.finish(q, -int32(unix.ENOMEM), 0)
		return
	}
	now := mask & q.events
	multishot := q.Len&ring.PollAddMulti != 0
	if multishot {
		// A hang-up lasts. A kernel is woken by what happens, and not by what lasts.
		lasting := now & q.reported & (unix.EPOLLHUP | unix.EPOLLRDHUP)
		q.reported = now
		now &^= lasting
	}
	switch {
	case now == 0:
	case !multishot || !r.postMore(q, int32(now|q.reported), 0):
		r.finish(q, int32(now|q.reported), 0)
	}
}

// cancel ends requests by their user_data; __io_async_cancel in io_uring/cancel.c.
func (r *instance) cancel(q *request) {
	all := q.OpFlags&ring.CancelAll != 0
	var found []*request
	if q.OpFlags&ring.CancelAny != 0 {
		for _, f := range r.files {
			found = append(found, f.requests...)
		}
	} else {
		found = append(found, r.named[q.Addr]...)
	}
	if !all && len(found) > 1 {
		found = found[:1]
	}
	res := int32(len(found))
	switch {
	case all:
	case len(found) == 0:
		res = r.tooLate(q.Addr)
	default:
		res = r.miss(found[0])
	}
	behind := r.dice.chance(cancelBehind, r.kernel.habits.CancelBehind)
	if !behind {
		r.answer(q, res)
	}
	if res >= 0 {
		for _, target := range found {
			r.finish(target, -int32(unix.ECANCELED), 0)
		}
	}
	if behind {
		r.answer(q, res)
	}
}

// answer completes a cancellation.
func (r *instance) answer(q *request, res int32) {
	if res < 0 || q.Flags&ring.SQECQESkipSuccess == 0 {
		r.finish(q, res, 0)
	}
}

// tooLate is the answer to a cancellation that finds nothing in flight.
func (r *instance) tooLate(name uint64) int32 {
	for _, c := range r.held {
		if c.UserData == name && r.dice.chance(cancelLate, r.kernel.habits.CancelLate) {
			return -int32(unix.EALREADY) // a worker is completing it
		}
	}
	return -int32(unix.ENOENT)
}

// miss decides whether a cancellation misses its request, and returns its answer. A poll is always found.
func (r *instance) miss(q *request) int32 {
	h := &r.kernel.habits
	switch {
	case q.Opcode == ring.OpPollAdd:
	case r.dice.chance(cancelMissed, h.CancelMissed):
		return -int32(unix.ENOENT)
	case r.dice.chance(cancelLate, h.CancelLate):
		if r.dice.below(cancelLate, 2) == 0 { // the worker is interrupted
			q.interrupted = true
			r.becomeReady(q.file, 0)
		}
		return -int32(unix.EALREADY)
	}
	return 0
}
