package session

import (
	"slices"
	"sync"

	"github.com/tandem-io/tandem/backend"
)

// mostSpares is how many things of a kind a loop keeps by itself.
const mostSpares = 64

// spares keeps what streams need only while something waits, for the next stream that does. Those that a loop uses every
// turn cost it no lock, and are still in its cache. The garbage collector frees the rest, if nobody needs them.
type spares[T any] struct {
	few  []*T      // the loop's; the last one was used last
	rest sync.Pool // any goroutine
}

// pop returns one of the few, or nil. Loop only.
func (p *spares[T]) pop() (x *T) {
	if last := len(p.few) - 1; last >= 0 {
		x = p.few[last]
		p.few[last] = nil
		p.few = p.few[:last]
	}
	return x
}

// push keeps x, of which nothing is in use any longer. Loop only.
func (p *spares[T]) push(x *T) {
	if backend.Poisoning() && slices.Contains(p.few, x) {
		backend.Misused("what a stream had while something waited was given back twice")
	}
	if len(p.few) < mostSpares {
		p.few = append(p.few, x)
	} else {
		p.rest.Put(x)
	}
}

// takeQueue returns an empty queue. here says that the caller is the loop.
func (l *loop) takeQueue(here bool) *queue {
	if here {
		if q := l.queues.pop(); q != nil {
			return q
		}
	}
	if q, ok := l.queues.rest.Get().(*queue); ok {
		return q
	}
	return &queue{pool: &l.Pool}
}

// putQueue keeps a queue in which nothing is left. here says that the caller is the loop.
func (l *loop) putQueue(here bool, q *queue) {
	if here {
		l.queues.push(q)
	} else {
		l.queues.rest.Put(q)
	}
}

// takeInbox returns an empty inbox. Loop only.
func (l *loop) takeInbox() *inbox {
	if in := l.inboxes.pop(); in != nil {
		return in
	}
	if in, ok := l.inboxes.rest.Get().(*inbox); ok {
		return in
	}
	return &inbox{pool: &l.Pool, loop: &l.Count}
}
