package uring

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// deferredCQEs are completions that have left the queue and are not handled yet: because a callback was running when
// spill made room, or because their stream had spent its share of the turn. The next Poll handles them last, behind
// those of other streams. Those of one stream stay in order: behind one that is postponed, all are.
type deferredCQEs struct {
	old     []ring.CQE // to be handled by this Poll
	at      int        // old[at:] are left
	again   []ring.CQE // of old, postponed once more
	fresh   []ring.CQE // of the queue, postponed or spilled; behind those in again
	spilled bool       // spill has emptied the queue during this Poll: what is in it now belongs behind fresh
}

func (l *deferredCQEs) empty() bool { return len(l.again)+len(l.fresh) == 0 }

// take takes one completion out of the queue.
func (d *Driver) take() (ring.CQE, bool) {
	c := d.ring.PeekCQE()
	if c == nil {
		return ring.CQE{}, false
	}
	copied := *c
	d.ring.Advance()
	d.count[backend.Completions]++
	if bid, ok := copied.Buffer(); ok {
		d.buffers.taken(bid)
	}
	return copied, true
}

// spill makes room in the completion queue.
func (d *Driver) spill() {
	for c, ok := d.take(); ok; c, ok = d.take() {
		d.later.fresh = append(d.later.fresh, c)
	}
	d.later.spilled = true
	_ = d.ring.Enter()
}

// reap handles the completions that there are now, and leaves those that come meanwhile to the next Poll, so that a
// turn ends.
func (d *Driver) reap() int {
	w, n := &d.later, 0
	w.old, w.again, w.at = append(w.again, w.fresh...), w.old[:0], 0
	w.fresh, w.spilled = w.fresh[:0], false
	d.markOld(postponed)
	for ready := d.ring.Ready(); ready > 0 && !w.spilled; ready-- {
		c, _ := d.take()
		d.complete(c, &w.fresh)
		n++
	}
	d.markOld(0)
	for w.at < len(w.old) {
		c := w.old[w.at]
		w.at++
		d.complete(c, &w.again)
		n++
	}
	return n - d.timer.events()
}

// markOld sets or clears postponed on all streams with completions in old, behind which newer ones have to wait.
func (d *Driver) markOld(mark uint32) {
	for _, c := range d.later.old {
		if s := d.socketOf(c); s != nil && c.UserData&opMask == opReceive {
			s.State = s.State&^postponed | mark
		}
	}
}

func (d *Driver) socketOf(c ring.CQE) *backend.Socket {
	return d.Lookup(backend.ID(c.UserData &^ opMask))
}

// complete handles one completion, or postpones it to a list. The last completion of a request, without F_MORE, ends
// it.
func (d *Driver) complete(c ring.CQE, later *[]ring.CQE) {
	op := c.UserData & opMask
	if op == opWake {
		return // it has ended a sleep, which is all it is for
	}
	s := d.socketOf(c)
	if op == opCancel {
		d.cancelFailed(s)
		return
	}
	if op == opReceive && d.postpone(s, c) {
		*later = append(*later, c)
		return
	}
	last := !c.More()
	if last {
		d.requests--
		if s != nil {
			s.InFlight--
		}
	}
	d.dispatch(op, s, c, last)
	if s != nil && s.State&releasing != 0 && s.InFlight == 0 && d.Lookup(s.ID) == s {
		d.MarkReleased(s)
	}
}

func (d *Driver) dispatch(op uint64, s *backend.Socket, c ring.CQE, last bool) {
	switch op {
	case opReceive:
		d.received(s, c, last)
	case opAccept:
		d.accepted(s, c, last)
	case opIncoming:
		d.arrived(s, c)
	case opConnect:
		d.connected(s, c)
	case opSend:
		d.sent(s, c)
	case opRoom:
		d.room(s, c, last)
	case opWatch:
		d.hungUp(s, c, last)
	case opFlush:
		d.flushed(c)
	case opEvent:
		d.woken(c, last)
	case opTimer:
		d.timerFired(c, last)
	}
}

// postpone reports whether a receive has to wait for the next Poll, in its buffer: because its stream has spent its
// share of the turn, or because an earlier one waits. The latter holds even while the socket is being released: its
// last completion must not overtake others.
func (d *Driver) postpone(s *backend.Socket, c ring.CQE) bool {
	switch {
	case s == nil:
		return false
	case s.State&postponed != 0:
		return true
	case c.Res <= 0 || s.State&releasing != 0 || s.Owner.HasTurnBudget():
		return false
	}
	s.State |= postponed
	return true
}
