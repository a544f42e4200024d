package backend

import (
	"math/bits"
	"sync"
)

const (
	minClass  = 9  // 512 bytes
	maxClass  = 20 // 1 MiB
	poolBound = 8 << 20
)

// Pool keeps byte slices of one loop for the next use, last returned first, because that one is still in the cache.
// Sizes are powers of two from 512 bytes to 1 MiB; larger ones are made and dropped. It holds at most 8 MiB, and
// of these what is needed between two garbage collections. Any
// goroutine may use it.
type Pool struct {
	mu      sync.Mutex // guards what follows
	free    [maxClass - minClass + 1][][]byte
	least   [maxClass - minClass + 1]int // how many there were at least since the last trim
	held    int
	trimmed bool               // trim follows garbage collections
	inside  map[*byte]struct{} // the first bytes of all in free, if poisoning is on
}

func class(n int) int {
	if n <= 1<<minClass {
		return minClass
	}
	return bits.Len(uint(n - 1))
}

// Get returns a slice of at least n bytes, with len equal to cap. Its contents are arbitrary.
func (p *Pool) Get(n int) []byte {
	c := class(n)
	if c > maxClass {
		return make([]byte, n)
	}
	list := &p.free[c-minClass]
	p.mu.Lock()
	if last := len(*list) - 1; last >= 0 {
		b := (*list)[last]
		(*list)[last] = nil
		*list = (*list)[:last]
		p.least[c-minClass] = min(p.least[c-minClass], last)
		p.held -= len(b)
		if poisoning {
			delete(p.inside, &b[0])
		}
		p.mu.Unlock()
		if poisoning {
			CheckPoison(b, "memory of a pool")
		}
		return b
	}
	p.mu.Unlock()
	return make([]byte, 1<<c)
}

// Put gives back what Get returned. Slices of other sizes are dropped.
func (p *Pool) Put(b []byte) {
	b = b[:cap(b)]
	Poison(b)
	c := class(len(b))
	if c > maxClass || len(b) != 1<<c {
		return
	}
	p.mu.Lock()
	if p.held+len(b) <= poolBound {
		list := &p.free[c-minClass]
		*list = append(*list, b)
		p.held += len(b)
		if !p.trimmed {
			p.trimLocked()
		}
		if poisoning {
			p.note(b)
		}
	}
	p.mu.Unlock()
}

// note keeps track of what is in the pool. It ends the program if b was in it already.
func (p *Pool) note(b []byte) {
	if p.inside == nil {
		p.inside = map[*byte]struct{}{}
	}
	if _, twice := p.inside[&b[0]]; twice {
		Misused("memory of a pool was given back twice")
	}
	p.inside[&b[0]] = struct{}{}
}
