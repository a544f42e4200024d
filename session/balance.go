package session

import (
	"hash/maphash"

	"github.com/tandem-io/tandem/backend"
)

// Balance says which loop a new connection goes to.
type Balance int

// The policies.
const (
	RoundRobin   Balance = iota // each loop in turn (default)
	LeastStreams                // the loop with the fewest streams
	SourceHash                  // by the peer's IP address: the same address always on the same loop
	ReusePort                   // one listening socket per loop, and the kernel spreads: SO_REUSEPORT, socket(7)
)

// String returns the policy's name.
func (b Balance) String() string {
	switch b {
	case RoundRobin:
		return "round-robin"
	case LeastStreams:
		return "least-streams"
	case SourceHash:
		return "source-hash"
	case ReusePort:
		return "reuse-port"
	}
	return "unknown"
}

var sourceSeed = maphash.MakeSeed()

// pick chooses the loop of a connection from or to remote, and counts the connection there: newStream takes that over,
// and where no stream is made after all, unpick takes it back. Any goroutine.
func (e *Engine) pick(remote backend.Address) *loop {
	l := e.choose(remote)
	l.load.Add(1)
	return l
}

// unpick takes a pick back.
func (l *loop) unpick() { l.load.Add(-1) }

// choose passes over loops that have failed, as long as there is another.
func (e *Engine) choose(remote backend.Address) *loop {
	if len(e.loops) == 1 {
		return e.loops[0]
	}
	switch {
	case e.balance == LeastStreams:
		return e.leastLoaded()
	case e.balance == SourceHash && remote.Kind == backend.TCPAddress:
		ip := remote.IP.Addr().Unmap().As16()
		return e.alive(maphash.Bytes(sourceSeed, ip[:]))
	}
	return e.alive(e.next.Add(1) - 1)
}

func (e *Engine) leastLoaded() *loop {
	least := e.alive(0)
	for _, l := range e.loops {
		if !l.dead.Load() && l.load.Load() < least.load.Load() {
			least = l
		}
	}
	return least
}

// alive is the first loop from number n on that has not failed, or loop n if all have.
func (e *Engine) alive(n uint64) *loop {
	all := uint64(len(e.loops))
	for i := range all {
		if l := e.loops[(n+i)%all]; !l.dead.Load() {
			return l
		}
	}
	return e.loops[n%all]
}
