package uring

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
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
	if s.State&missed != 0 {
		s.State &^= missed | cancelling
		if s.State&releasing != 0 && s.InFlight > 0 {
			d.cancelAllOf(s)
		}
	}
	if s.State&releasing != 0 {
		return
	}
	if s.State&stream == 0 {
		d.tellAccept(s)
		return
	}
	wanted := s.State&wantReceive != 0
	switch {
	case wanted && s.State&(armed|starved) != 0, !wanted && s.State&armed == 0:
	case wanted && s.State&more != 0:
		s.State |= starved
		d.bulk.push(s)
	case wanted:
		d.armReceive(s, multishotBytes)
	}
	if s.State&(armed|cancelling) == armed && (!wanted || s.State&overlooked != 0) {
		s.State |= cancelling
		d.cancel(opReceive, s) // when it has ended it is armed again, if it is wanted
	}
	s.State &^= overlooked
	d.watch(s)
}

// cancel ends one request of a socket. It names the request and not the descriptor: for that the kernel would walk all
// requests of the ring, and find those of other sockets that share the open file, too.
func (d *Driver) cancel(request uint64, s *backend.Socket) {
	d.cancelRequest(request|uint64(s.ID), 0).UserData |= uint64(s.ID)
}

// cancelRequest ends requests by their user_data. Nothing is in flight on behalf of it, and only a failure has a
// completion: IOSQE_CQE_SKIP_SUCCESS, since Linux 5.17; io_uring_enter(2).
func (d *Driver) cancelRequest(userData uint64, flags uint32) *ring.SQE {
	e := d.entry()
	d.requests--
	e.PrepCancel(userData, flags)
	e.Flags = ring.SQECQESkipSuccess
	e.UserData = opCancel
	return e
}

// cancelFailed tries again, if the request is still in flight: one that is on its way from one list of the kernel to
// another is not found, and one that runs on a worker not ended.
func (d *Driver) cancelFailed(s *backend.Socket) {
	if s != nil && s.InFlight > 0 && s.State&(cancelling|releasing) != 0 {
		s.State |= missed
		d.changes.Add(s)
	}
}
