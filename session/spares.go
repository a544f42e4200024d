package session

import "sync"

// mostSpares is how many things of a kind a loop keeps by itself.
const mostSpares = 1024

// spares keeps what streams need only while something waits, for the next stream that does. The few that a loop usually needs
// cost it no lock, and are still in its cache. The garbage collector frees the rest, if nobody needs them.
type spares[T any] struct {
	few  []*T      // the loop's; the last one was used last
	rest sync.Pool // any goroutine
}

// take returns one that was put back, or a new one. here says that the caller is the loop.
func (p *spares[T]) take(here bool) *T {
	if last := len(p.few) - 1; here && last >= 0 {
		x := p.few[last]
		p.few = p.few[:last]
		return x
	}
	if x, ok := p.rest.Get().(*T); ok {
		return x
	}
	return new(T)
}

// put keeps x, of which nothing is in use any longer. here says that the caller is the loop.
func (p *spares[T]) put(here bool, x *T) {
	if here && len(p.few) < mostSpares {
		p.few = append(p.few, x)
		return
	}
	p.rest.Put(x)
}
