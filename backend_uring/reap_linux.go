package uring

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// backlog are completions that have left the queue and were not dealt with: because a callback was running when room
// had to be made, or because their stream had its share of the turn. They come last in the next Poll, behind those of
// other streams; those of one stream stay in order, because behind one that waits all wait.
type backlog struct {
	old   []ring.CQE // of this Poll
	at    int        // old[at:] are still to come
	again []ring.CQE // of old: put off once more, for the next Poll
	fresh []ring.CQE // behind them
	aside bool       // the queue was emptied in a callback: what is in it now belongs behind fresh
}

func (b *backlog) empty() bool { return len(b.again)+len(b.fresh) == 0 }

// take takes one completion out of the queue.
func (d *Driver) take() (ring.CQE, bool) {
	c := d.ring.PeekCQE()
	if c == nil {
		return ring.CQE{}, false
	}
	copied := *c
	d.ring.Advance()
	d.count[backend.Completions]++
	if _, ok := copied.Buffer(); ok {
		d.buffers.taken()
	}
	return copied, true
}

// stash makes room in the completion queue.
func (d *Driver) stash() {
	for c, ok := d.take(); ok; c, ok = d.take() {
		d.waiting.fresh = append(d.waiting.fresh, c)
	}
	d.waiting.aside = true
	_ = d.ring.Enter()
}

// reap deals with the completions that are there now; not with such as come meanwhile, so that a turn ends.
func (d *Driver) reap() int {
	w, n := &d.waiting, 0
	w.old, w.again, w.at = append(w.again, w.fresh...), w.old[:0], 0
	w.fresh, w.aside = w.fresh[:0], false
	d.markOld(deferred)
	for ready := d.ring.Ready(); ready > 0 && !w.aside; ready-- {
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
	return n
}

// markOld says of all streams that wait in old whether what comes for them has to wait behind it.
func (d *Driver) markOld(mark uint32) {
	for _, c := range d.waiting.old {
		if s := d.socketOf(c); s != nil && c.UserData&opMask == opReceive {
			s.State = s.State&^deferred | mark
		}
	}
}

func (d *Driver) socketOf(c ring.CQE) *backend.Socket {
	return d.slots.Lookup(backend.ID(c.UserData &^ opMask))
}

// complete deals with one completion, or puts it off to a list. The last of a request, without F_MORE, ends it.
func (d *Driver) complete(c ring.CQE, later *[]ring.CQE) {
	op := c.UserData & opMask
	if op == opWake {
		return // the end of a sleep is all there is to it
	}
	s := d.socketOf(c)
	if op == opCancel {
		d.cancelFailed(s)
		return
	}
	if op == opReceive && d.defers(s, c) {
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
	if s != nil && s.State&releasing != 0 && s.InFlight == 0 && d.slots.Lookup(s.ID) == s {
		d.letGo(s)
	}
}

func (d *Driver) dispatch(op uint64, s *backend.Socket, c ring.CQE, last bool) {
	switch op {
	case opReceive:
		d.received(s, c, last)
	case opAccept:
		d.accepted(s, c, last)
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
	}
}

// defers keeps a receive for the next Poll, in its buffer, if its stream has had its share; and all that follow it. That
// a socket is being released ends the former and not the latter: the last of its completions must not overtake others.
func (d *Driver) defers(s *backend.Socket, c ring.CQE) bool {
	switch {
	case s == nil:
		return false
	case s.State&deferred != 0:
		return true
	case c.Res <= 0 || s.State&releasing != 0 || s.Owner.HasShare():
		return false
	}
	s.State |= deferred
	return true
}
