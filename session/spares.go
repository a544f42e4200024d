package session

import (
	"slices"
	"sync"

	"github.com/tandem-io/tandem/backend"
)

// batchSize is how many spares go to the rest, and come from there, at a time. A loop keeps twice as many by itself.
const batchSize = 32

// spares keeps what streams need only while something waits, for the next stream that does. Those that a loop uses every
// turn cost it no lock, and are still in its cache. The garbage collector frees the rest, if nobody needs them.
type spares[T any] struct {
	few    []*T             // the loop's; the last one was used last
	empty  []*[batchSize]*T // the loop's: what batches were in, for the next ones
	rest   sync.Pool        // of batches
	others sync.Pool        // of single ones, for goroutines that are not the loop's
}

// pop returns one, or nil if there is none. Loop only.
func (p *spares[T]) pop() *T {
	if len(p.few) == 0 && !p.fetch() {
		return nil
	}
	last := len(p.few) - 1
	x := p.few[last]
	p.few[last] = nil
	p.few = p.few[:last]
	return x
}

// push keeps x, of which nothing is in use any longer. Loop only.
func (p *spares[T]) push(x *T) {
	if backend.Poisoning() && slices.Contains(p.few, x) {
		backend.Misused("what a stream had while something waited was given back twice")
	}
	if len(p.few) == 2*batchSize {
		p.putAway()
	}
	p.few = append(p.few, x)
}

// putAway moves those that were used longest ago to the rest.
func (p *spares[T]) putAway() {
	var b *[batchSize]*T
	if last := len(p.empty) - 1; last >= 0 {
		b, p.empty = p.empty[last], p.empty[:last]
	} else {
		b = new([batchSize]*T)
	}
	copy(b[:], p.few)
	n := copy(p.few, p.few[batchSize:])
	clear(p.few[n:])
	p.few = p.few[:n]
	p.rest.Put(b)
}

// fetch takes a batch of the rest, and reports whether there was one.
func (p *spares[T]) fetch() bool {
	b, ok := p.rest.Get().(*[batchSize]*T)
	if !ok {
		return false
	}
	p.few = append(p.few, b[:]...)
	clear(b[:])
	p.empty = append(p.empty, b)
	return true
}

// takeQueue returns an empty queue. here says that the caller is the loop.
func (l *loop) takeQueue(here bool) *queue {
	if here {
		if q := l.queues.pop(); q != nil {
			return q
		}
	} else if q, ok := l.queues.others.Get().(*queue); ok {
		return q
	}
	return &queue{pool: &l.Pool, away: !here}
}

// putQueue keeps a queue in which nothing is left, for those who take one where it was taken: the loop sends what other goroutines
// write, and they would never find a queue again that it keeps for itself. here says that the caller is the loop.
func (l *loop) putQueue(here bool, q *queue) {
	if here && !q.away {
		l.queues.push(q)
		return
	}
	q.away = true
	l.queues.others.Put(q)
}

// takeInbox returns an empty inbox. Loop only.
func (l *loop) takeInbox() *inbox {
	if in := l.inboxes.pop(); in != nil {
		return in
	}
	return &inbox{pool: &l.Pool, loop: &l.Count}
}
