package epoll

import (
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// want sets or clears one wish of a socket. The kernel is told before the next look.
func (d *Driver) want(s *backend.Socket, wish uint32, on bool) {
	if on {
		s.State |= wish
	} else {
		s.State &^= wish
	}
	d.changes.Add(s)
}

// interestOf is what the kernel should watch for. A socket from which nothing is wanted is watched for errors and
// hang-ups all the same, which epoll always reports; edge-triggered, so that a hang-up that lasts is reported once.
func interestOf(state uint32) uint32 {
	var events uint32
	if state&(receiving|accepting) != 0 {
		events |= unix.EPOLLIN
	}
	if state&(connecting|sendWaits) != 0 {
		events |= unix.EPOLLOUT
	}
	if events == 0 {
		events = unix.EPOLLET & 0xffffffff
	}
	return events
}

// pack stores an interest in the upper bits of Socket.State.
func pack(events uint32) uint32 {
	var bits uint32
	if events&unix.EPOLLIN != 0 {
		bits |= interest
	}
	if events&unix.EPOLLOUT != 0 {
		bits |= interest << 1
	}
	if events&unix.EPOLLET != 0 {
		bits |= interest << 2
	}
	return bits
}

const packed = interest | interest<<1 | interest<<2

// tellKernel tells the kernel what is wanted from a socket now, if that is not what it knows.
func (d *Driver) tellKernel(s *backend.Socket) {
	events := interestOf(s.State)
	op := unix.EPOLL_CTL_MOD
	if s.State&known == 0 {
		op = unix.EPOLL_CTL_ADD
	} else if s.State&packed == pack(events) {
		return
	}
	e := epollEvent(events, uint64(s.ID))
	d.count[backend.SystemCalls]++
	if err := unix.EpollCtl(d.epfd, op, s.FD(), &e); err != nil {
		d.refused(s, err)
		return
	}
	s.State = s.State&^packed | known | pack(events)
}

// refused reports that the kernel will not watch a socket, for want of memory or because of the limit in
// /proc/sys/fs/epoll/max_user_watches, to whoever waits for it.
func (d *Driver) refused(s *backend.Socket, err error) {
	switch {
	case s.State&connecting != 0:
		s.State &^= connecting
		s.Owner.Connected(err)
	case s.State&accepting != 0:
		s.State &^= accepting
		s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, err)
	default:
		s.State &^= receiving | sendWaits
		s.Owner.ReceiveEnded(err)
	}
}
