package simulated

import (
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// connect begins a connection from local to remote, and calls done with its end or an error, later, with mu held.
func (k *Kernel) connect(local, remote backend.Address, done func(*end, error)) {
	k.connectUntil(local, remote, k.now+connectTimeout, time.Second, done)
}

// connectNow is connect for one that is over at once, or returns nil.
func (k *Kernel) connectNow(local, remote backend.Address) *end {
	l := k.listenerAt(remote)
	if l == nil || l.peer != nil && l.peer.silent || len(l.queue) > l.backlog || !k.chance(k.cfg.Faults.Instant) {
		return nil
	}
	return k.arrive(l, local, remote)
}

// arrive makes a connection that waits at a listener, and returns the other end.
func (k *Kernel) arrive(l *listener, local, remote backend.Address) *end {
	ours, theirs := k.pair(local, remote)
	k.note("connect", len(l.queue), 0)
	if l.peer != nil {
		l.peer.arrived(theirs)
	} else {
		l.queue = append(l.queue, theirs)
	}
	k.changed.Broadcast()
	return ours
}

func (k *Kernel) connectUntil(local, remote backend.Address, until, again time.Duration, done func(*end, error)) {
	k.later(func() {
		l := k.listenerAt(remote)
		switch {
		case l == nil && local == remote && local.Kind == backend.TCPAddress:
			done(k.selfConnected(local), nil)
			return
		case l == nil || k.chance(k.cfg.Faults.Refuse):
			done(nil, syscall.ECONNREFUSED)
			return
		case l.peer != nil && l.peer.silent, len(l.queue) > l.backlog:
			if k.now+again > until {
				k.after(until-k.now, func() { done(nil, syscall.ETIMEDOUT) })
				return
			}
			k.after(again, func() { k.connectUntil(local, remote, until, 2*again, done) })
			return
		}
		ours := k.arrive(l, local, remote)
		k.later(func() {
			if ours.err != nil {
				done(nil, ours.takeError())
				return
			}
			done(ours, nil)
		})
	})
}
