package session

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// heldUpPatience is how long Close of a listener waits for a loop that is held up.
const heldUpPatience = 5 * time.Second

// Err implements Listener.
func (l *listener) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close implements Listener.
func (l *listener) Close() error {
	l.end(net.ErrClosed)
	if e := l.engine; e.onLoop() || e.driven && !e.loops[0].Bound() {
		return nil
	}
	if l.wait() {
		return nil
	}
	return &net.OpError{Op: "close", Net: l.network, Addr: l.addr, Err: fmt.Errorf(
		"a callback holds up the loop; the address is free when it returns: %w", os.ErrDeadlineExceeded)}
}

// wait waits for loops that have to let go of the sockets, up to heldUpPatience, and reports whether they have.
func (l *listener) wait() bool {
	ctx, cancel := l.engine.clock.WithTimeout(context.Background(), heldUpPatience)
	defer cancel()
	return l.await(ctx.Done())
}

// await waits until the sockets of a listener that has ended are closed, and reports whether they are. It gives up when
// limit is closed.
func (l *listener) await(limit <-chan struct{}) bool {
	for _, a := range l.listenSockets() {
		select {
		case <-a.gone:
		case <-limit:
			return false
		}
	}
	return true
}

// end ends accepting. The first call decides what Err tells. Any goroutine; it waits for no loop.
func (l *listener) end(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	ended := l.onEnd
	heads := l.heads // from now on they do not move
	l.mu.Unlock()
	l.engine.mu.Lock()
	delete(l.engine.listeners, l)
	l.engine.mu.Unlock()
	l.dropQueue()
	l.removeFile() // while somebody still listens there, so that nobody takes it for stale
	for _, a := range heads {
		_ = a.loop.Post(backend.TaskFunc(a.stop)) // a loop that has ended calls loopDied
	}
	if ended != nil {
		l.tellEnd(ended)
	}
}

// tellEnd calls a function that was told to OnListenerEnd.
func (l *listener) tellEnd(fn func()) {
	if err := l.engine.guarded(func() error { fn(); return nil }); err != nil {
		l.engine.log.Error("tandem: panic in a function that is told of a listener's end", "listener", l.addr, "error", err)
	}
}

// OnListenerEnd has fn called once, when l has ended, for whatever reason: at once if it has. It is for layers, and fn
// must not block. A panic in it is logged. It runs on whatever goroutine ends the listener, with no lock held.
func OnListenerEnd(l Listener, fn func()) {
	own, ok := l.(*listener)
	if !ok {
		return
	}
	own.mu.Lock()
	over := own.err != nil
	own.onEnd = fn
	own.mu.Unlock()
	if over {
		own.tellEnd(fn)
	}
}

// close ends a listener because the Transport shuts down.
func (l *listener) close() { l.end(net.ErrClosed) }

// loopDied follows the end of the listenSocket's loop by err: the socket goes on on another loop, with what is parked, or
// closes. The loop's driver is closed, and no timer of it runs any longer. The caller is the loop's owner.
func (a *listenSocket) loopDied(err error) {
	l, was := a.listener, a.stopped
	a.stopped = true
	l.mu.Lock()
	moved := l.err == nil && !was && a.move()
	l.mu.Unlock()
	if moved {
		return
	}
	a.abandon()
	if !was {
		l.lost(a, err)
	}
}

// move gives the socket to a new listenSocket on a loop that lives, and reports whether there is one. The listener's mu is
// held.
func (a *listenSocket) move() bool {
	l := a.listener
	b := newListenSocket(l, a.sock.Descriptor)
	b.parked = a.parked
	if !b.startOnOne(a.loop.index + 1) {
		return false
	}
	a.setFull(false)
	a.countParked(-len(a.parked))
	b.countParked(len(a.parked))
	a.parked = nil
	a.loop.listening.remove(a)
	l.heads = slices.Clone(l.heads)
	l.heads[slices.Index(l.heads, a)] = b
	l.engine.log.Warn("tandem: a listener goes on on another loop, because its own has ended", "loop", b.loop.index, "listener", l.addr)
	return true
}

// listenSocketSet holds the listenSockets that a loop has to let go of before it ends. Any goroutine may use it.
type listenSocketSet struct {
	mu  sync.Mutex // guards all
	all map[*listenSocket]struct{}
}

func (s *listenSocketSet) add(a *listenSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*listenSocket]struct{}{}
	}
	s.all[a] = struct{}{}
}

func (s *listenSocketSet) remove(a *listenSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, a)
}

// list returns what is in the set.
func (s *listenSocketSet) list() []*listenSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}
