package session

import (
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// listenSocket is a listener's socket on one loop. Unless a comment says otherwise, it belongs to that loop.
type listenSocket struct {
	backend.NoEvents
	listener *listener
	loop     *loop
	sock     backend.Socket
	timer    backend.Timer
	halt     halt
	on       bool          // the driver was told to accept
	delay    time.Duration // of the present back-off; 0: the last accept did not fail
	row      int           // connections in a row that failed as they were accepted
	parked   []connection  // for the peer they are in the backlog
	logged   logLimit
	stopped  bool // it was told to stop

	poked atomic.Bool   // Run is on its way; any goroutine
	gone  chan struct{} // closed when the descriptor is closed
}

// connection is what an accept brought.
type connection struct {
	fd     backend.Descriptor
	from   backend.Address // the peer, if the kernel told it
	source *source         // that it counts for, or nil
}

// halt holds the reasons why a listenSocket does not accept now.
type halt uint8

const (
	haltPaused  halt = 1 << iota // PauseAccept was called
	haltFull                     // MaxConns is reached
	haltBackoff                  // it waits for resources
	haltRearm                    // for a turn: it goes on with bounded accepts
)

func newListenSocket(l *listener, fd backend.Descriptor) *listenSocket {
	a := &listenSocket{listener: l, gone: make(chan struct{})}
	a.sock = backend.Socket{Descriptor: fd, Owner: a, Bounded: l.max > 0 && l.live.Load() >= l.boundFrom, Shared: l.shared}
	a.timer.Fire = a.retry
	return a
}

// start begins to accept. The loop holds itself for it.
func (a *listenSocket) start() {
	if a.loop.draining {
		a.abandon()
		return
	}
	if err := a.loop.Driver.Attach(&a.sock); err != nil {
		if a.loop.Err() != nil {
			return // the loop is dying: loopDied follows
		}
		a.abandon()
		a.listener.lost(a, err)
		return
	}
	a.settle()
}

// abandon closes a socket that the driver does not have, and what is parked: it may have moved here with some.
func (a *listenSocket) abandon() {
	a.stopped = true
	a.dropParked()
	a.Released()
}

// stop lets go of the socket, and of what is parked.
func (a *listenSocket) stop() {
	if a.stopped {
		return
	}
	a.stopped = true
	a.dropParked()
	a.loop.StopTimer(&a.timer)
	a.loop.Driver.Release(&a.sock)
}

// dropParked resets what is parked, as the kernel does with its backlog.
func (a *listenSocket) dropParked() {
	a.setFull(false)
	for _, c := range a.parked {
		a.reset(c)
	}
	a.countParked(-len(a.parked))
	a.parked = nil
}

// reset closes a connection that is not wanted, as the kernel does with its backlog. Its source has one less.
func (a *listenSocket) reset(c connection) {
	a.loop.Sockets.CloseSocket(c.fd, backend.Closing{Reset: true})
	a.listener.left(c.source)
}

// Released implements backend.Events: the descriptor is the listenSocket's alone.
func (a *listenSocket) Released() {
	a.stopped = true
	a.loop.listening.remove(a)
	a.loop.Sockets.CloseSocket(a.sock.Descriptor, backend.Closing{})
	close(a.gone)
	a.loop.release()
}

// Run implements backend.Task: another goroutine has changed something.
func (a *listenSocket) Run() {
	a.poked.Store(false)
	a.set(haltRearm, false)
	if !a.stopped {
		a.settle()
	}
}

// poke gets the loop to look after the listenSocket. What it is to see must have been stored before. Any goroutine.
func (a *listenSocket) poke() {
	if !a.poked.Swap(true) {
		_ = a.loop.Post(a) // if the loop has ended, so has the listenSocket
	}
}

// settle opens what is parked, as far as there is room, and decides whether to accept. It is the one place that does.
func (a *listenSocket) settle() {
	l := a.listener
	a.set(haltPaused, l.paused.Load())
	for {
		a.unpark()
		waits := len(a.parked) > 0 && a.halt&haltPaused == 0
		if !waits && !l.atLimit() {
			a.setFull(false)
			break
		}
		a.setFull(true)
		if l.atLimit() {
			break // a stream that ends from now on sees that it has to wake this
		}
	}
	a.tellDriver()
}

func (a *listenSocket) set(reason halt, on bool) {
	if on {
		a.halt |= reason
	} else {
		a.halt &^= reason
	}
}

// setFull is set for haltFull, which those must see who make room.
func (a *listenSocket) setFull(on bool) {
	if on == (a.halt&haltFull != 0) {
		return
	}
	a.set(haltFull, on)
	if !on {
		a.listener.waiting.Add(-1)
		return
	}
	a.tellDriver() // at once, before more is accepted
	a.listener.waiting.Add(1)
}

// tellDriver switches accepting on or off, if that is not what the driver knows.
func (a *listenSocket) tellDriver() {
	if on := a.halt == 0; on != a.on && !a.stopped {
		a.on = on
		a.loop.Driver.Accept(&a.sock, on)
	}
}

// Accepted implements backend.Events.
func (a *listenSocket) Accepted(fd backend.Descriptor, from backend.Address, err error) {
	if err != nil {
		a.on = false
		a.failed(err)
		return
	}
	l := a.listener
	a.delay, a.row = 0, 0
	c := connection{fd: fd, from: from}
	if l.sources != nil && !a.admit(&c) {
		return
	}
	if err := l.sockopt.connected(a.loop.Sockets, fd); err != nil {
		a.refuse(c, err)
		return
	}
	switch {
	case l.paused.Load() || len(a.parked) > 0: // none overtakes another
		a.park(c)
	case l.reserve():
		a.open(c)
	case l.rejects():
		a.reject(c)
	default:
		a.park(c)
	}
	if len(a.parked) > 0 || l.atLimit() {
		a.settle()
	}
	if l.max > 0 && !a.sock.Bounded && l.live.Load() >= l.boundFrom {
		a.bound()
	}
}

// bound has the driver accept a few connections at a time from now on. For that it has to stop for a turn; what it brings
// until then, at most the backlog, fits.
func (a *listenSocket) bound() {
	a.sock.Bounded = true
	a.set(haltRearm, true)
	a.tellDriver()
	a.poke()
}

func (a *listenSocket) park(c connection) {
	a.parked = append(a.parked, c)
	a.countParked(1)
}

func (a *listenSocket) countParked(n int) {
	a.listener.parked.Add(int64(n))
	a.loop.parked.Add(int64(n))
}

// unpark opens what is parked, in order, until there is no room.
func (a *listenSocket) unpark() {
	l := a.listener
	for len(a.parked) > 0 && a.halt&haltPaused == 0 {
		room := l.reserve()
		if !room && !l.rejects() {
			return
		}
		c := a.parked[0]
		if a.parked = a.parked[1:]; len(a.parked) == 0 {
			a.parked = nil
		}
		a.countParked(-1)
		if room {
			a.open(c)
		} else {
			a.reject(c)
		}
	}
}

func (a *listenSocket) reject(c connection) {
	a.listener.rejected.Add(1)
	a.reset(c)
}

// open hands a connection, for which there is room, to its loop.
func (a *listenSocket) open(c connection) {
	if a.listener.conns != nil {
		a.give(c)
		return
	}
	l, e, to := a.listener, a.listener.engine, a.loop
	l.accepted.Add(1)
	a.loop.Count[backend.Accepts]++
	if e.balance != ReusePort && len(e.loops) > 1 {
		to = e.pick(e.source(c))
	} else {
		to.load.Add(1)
	}
	if to != a.loop {
		if to.Post(backend.TaskFunc(func() { to.open(c, l) })) == nil {
			return
		}
		to.unpick() // it has ended
		a.loop.load.Add(1)
	}
	a.loop.open(c, l)
}

// source is the peer's address, if the choice of the loop depends on it.
func (e *Engine) source(c connection) backend.Address {
	if e.balance != SourceHash || c.from.Kind != backend.NoAddress {
		return c.from
	}
	return e.sockets().RemoteAddress(c.fd)
}

// atLimit reports whether further connections have to wait.
func (l *listener) atLimit() bool {
	if l.conns != nil && l.conns.full() {
		return true
	}
	return l.max > 0 && !l.reject && l.live.Load() >= l.max
}

// rejects reports whether a connection for which there is no room is reset: because of MaxConns, not because nobody calls
// Accept.
func (l *listener) rejects() bool { return l.reject && l.max > 0 && l.live.Load() >= l.max }

// reserve counts one more stream or conn, if there is room.
func (l *listener) reserve() bool {
	if l.conns != nil && !l.conns.reserve() {
		return false
	}
	if l.reserveLive() {
		return true
	}
	if l.conns != nil {
		l.conns.n.Add(-1)
	}
	return false
}

func (l *listener) reserveLive() bool {
	for {
		n := l.live.Load()
		if l.max > 0 && n >= l.max {
			return false
		}
		if l.live.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// ended follows the end of a stream, or of a connection that became none, of a source. Any loop.
func (l *listener) ended(s *source) {
	l.left(s)
	l.live.Add(-1)
	if l.waiting.Load() > 0 {
		l.wake()
	}
}

// wake has every listenSocket settle. Any goroutine.
func (l *listener) wake() {
	for _, a := range l.listenSockets() {
		a.poke()
	}
}

func (l *listener) listenSockets() []*listenSocket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads
}

// PauseAccept implements Listener.
func (l *listener) PauseAccept() {
	l.paused.Store(true)
	l.wake()
}

// ResumeAccept implements Listener.
func (l *listener) ResumeAccept() {
	l.paused.Store(false)
	l.wake()
}
