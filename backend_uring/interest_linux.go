package uring

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Receive implements backend.Driver.
func (d *Driver) Receive(s *backend.Socket, on bool) {
	s.State |= stream
	d.SetInterest(s, wantReceive, on)
}

// Accept implements backend.Driver.
func (d *Driver) Accept(s *backend.Socket, on bool) { d.SetInterest(s, wantAccept, on) }

// updateKernel arms or cancels requests until they agree with what the owner of a socket wants. A request that
// conflicts is cancelled; its last completion makes FlushChanges call updateKernel again.
func (d *Driver) updateKernel(s *backend.Socket) {
	if s.State&cancelMissed != 0 {
		s.State &^= cancelMissed | cancelling
		if s.State&releasing != 0 && s.InFlight > 0 {
			d.cancelAllOf(s)
		}
	}
	if s.State&releasing != 0 {
		return
	}
	if s.State&stream == 0 {
		d.updateAccept(s)
		return
	}
	wanted := s.State&wantReceive != 0
	switch {
	case wanted && s.State&(armed|awaitsBuffer) != 0, !wanted && s.State&armed == 0:
	case wanted && s.State&hasMore != 0:
		s.State |= awaitsBuffer
		d.bulk.push(s)
	case wanted:
		d.armReceive(s, multishotBytes)
	}
	if s.State&(armed|cancelling) == armed && (!wanted || s.State&overlooked != 0) {
		s.State |= cancelling
		d.cancel(opReceive, s) // its last completion comes back here
	}
	d.watch(s)
}

// cancel cancels one request of a socket. It names the request and not the descriptor: by descriptor the kernel would
// search all requests of the ring, and would also find those of other sockets that share the open file.
func (d *Driver) cancel(op uint64, s *backend.Socket) {
	d.cancelRequest(op|uint64(s.ID), 0).UserData |= uint64(s.ID)
}

// cancelRequest cancels requests by their user_data. The cancellation itself does not count as in flight, because only
// a failure has a completion: IOSQE_CQE_SKIP_SUCCESS, since Linux 5.17; io_uring_enter(2).
func (d *Driver) cancelRequest(userData uint64, flags uint32) *ring.SQE {
	e := d.entry()
	d.requests--
	e.PrepCancel(userData, flags)
	e.Flags = ring.SQECQESkipSuccess
	e.UserData = opCancel
	return e
}

// cancelFailed tries again if the request is still in flight: the kernel does not find a request that is moving from
// one of its lists to another, and does not end one that runs on a worker.
func (d *Driver) cancelFailed(s *backend.Socket) {
	if s != nil && s.InFlight > 0 && s.State&(cancelling|releasing) != 0 {
		s.State |= cancelMissed
		d.Changed(s)
	}
}
