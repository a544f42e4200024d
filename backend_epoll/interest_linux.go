package epoll

import (
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Bits of Socket.State: the interest of the owner, and the interest that the kernel knows. updateKernel makes the
// second agree with the first.
//
//	owner                         bits              kernel
//	Receive, Accept            ─► receiving,    ─►  EPOLLIN
//	                              accepting
//	Connect, Send without room ─► connecting,   ─►  EPOLLOUT
//	                              sendWaits
//	none of these              ─►               ─►  EPOLLET: only errors and hang-ups, once
const (
	receiving  uint32 = 1 << iota
	accepting         // on a listening socket
	connecting        // Connect waits for the end of a connect
	sendWaits         // a Send found no room
	known             // the epoll set has the socket
	kernelIn          // and these are the events that it has for it
	kernelOut
	kernelEdge

	kernelEvents = kernelIn | kernelOut | kernelEdge
)

// interestOf returns the events that the kernel should watch for. epoll always reports errors and hang-ups. A socket
// without other interest is edge-triggered, so that a lasting hang-up is reported once.
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

// kernelBits returns the bits of Socket.State that stand for events.
func kernelBits(events uint32) uint32 {
	var bits uint32
	if events&unix.EPOLLIN != 0 {
		bits |= kernelIn
	}
	if events&unix.EPOLLOUT != 0 {
		bits |= kernelOut
	}
	if events&unix.EPOLLET != 0 {
		bits |= kernelEdge
	}
	return bits
}

// updateKernel tells the kernel the interest of a socket, unless it knows that already.
func (d *Driver) updateKernel(s *backend.Socket) {
	events := interestOf(s.State)
	op := unix.EPOLL_CTL_MOD
	if s.State&known == 0 {
		op = unix.EPOLL_CTL_ADD
	} else if s.State&kernelEvents == kernelBits(events) {
		return
	}
	e := epollEvent(events, uint64(s.ID))
	d.count[backend.SystemCalls]++
	if err := unix.EpollCtl(d.epfd, op, s.FD(), &e); err != nil {
		d.refused(s, err)
		return
	}
	s.State = s.State&^kernelEvents | known | kernelBits(events)
}

// refused reports to the owner that the kernel will not watch a socket, because it lacks memory or has reached the
// limit in /proc/sys/fs/epoll/max_user_watches.
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
