package backend

import (
	"runtime"
	"weak"
)

// trimmer gives back what a Pool holds and nobody needs: after a burst, as much as was never taken out between two garbage
// collections. A finalizer tells it of each, which costs those who use the Pool nothing. It does not keep the Pool alive.
type trimmer struct{ pool weak.Pointer[Pool] }

// trimLocked has the pool trimmed from now on, until it is empty. mu is held.
func (p *Pool) trimLocked() {
	p.trimmed = true
	runtime.SetFinalizer(&trimmer{weak.Make(p)}, (*trimmer).collected)
}

// collected follows a garbage collection.
func (t *trimmer) collected() {
	if p := t.pool.Value(); p != nil && p.trim() {
		runtime.SetFinalizer(t, (*trimmer).collected)
	}
}

// trim drops what was not needed since the last trim, and reports whether anything is left.
func (p *Pool) trim() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.free {
		list, n := p.free[c], p.least[c]
		for _, b := range list[:n] { // the oldest: the others are still in the cache
			p.held -= len(b)
			if poisoning {
				delete(p.inside, &b[0])
			}
		}
		if n > 0 {
			p.free[c] = append([][]byte(nil), list[n:]...)
		}
		p.least[c] = len(p.free[c])
	}
	p.trimmed = p.held > 0
	return p.trimmed
}
