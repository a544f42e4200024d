package session

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/tandem-io/tandem/backend"
)

// Conns are connections for code that reads and blocks: a goroutine waits for the kernel itself, and no loop carries
// the bytes. Loops accept and dial them; the engine counts them, bounds them and ends them.
//
//	Listener ── accepts, on a loop ──► queue ──► Accept ──► Conn ── Read, Write: the goroutine and the kernel
//	dial     ── connects, on a loop ──────────────────────► Conn

// conns are those of an engine that are open.
type conns struct {
	in, out  atomic.Uint64 // bytes, of all that there ever were
	draining atomic.Bool   // Shutdown: those that wait for their peer end

	mu     sync.Mutex // guards what follows
	all    map[*conn]struct{}
	opened uint64
	closed uint64
	empty  chan struct{} // closed when draining and none is left; nil before
	over   bool          // none may begin
}

// conn is what the engine knows of a Conn.
type conn struct {
	engine *Engine
	from   *listener    // nil: it was dialled
	source *source      // that it counts for there, or nil
	inner  backend.Conn // nil until it is made; guarded by the mu of conns
	state  atomic.Uint32
}

// The state of a conn.
const (
	receives = 1 << iota // it waits for something to receive
	sends                // it waits for room to send
	ends                 // Shutdown has decided that it ends: it takes nothing more
)

// newConn makes a Conn of a descriptor, which is its own from then on. net.ErrClosed: the engine shuts down. However it
// fails, the descriptor is closed and the room below MaxConns given back.
func (e *Engine) newConn(fd backend.Descriptor, network string, from *listener, of *source) (backend.Conn, error) {
	c := &conn{engine: e, from: from, source: of}
	if !e.conns.add(c) {
		e.sockets().CloseSocket(fd, backend.Closing{Reset: true})
		c.left()
		return nil, net.ErrClosed
	}
	inner, err := e.sockets().Conn(fd, backend.ConnOwner{
		Network: network, In: &e.conns.in, Out: &e.conns.out, Waits: c.waits, Closed: c.gone,
	})
	if err != nil {
		c.gone()
		return nil, err
	}
	if !e.conns.publish(c, inner) {
		reset(inner)
		return nil, net.ErrClosed
	}
	return inner, nil
}

// left gives back the room that the conn had below MaxConns.
func (c *conn) left() {
	if c.from != nil {
		c.from.ended(c.source)
	}
}

// gone follows Close.
func (c *conn) gone() {
	if c.engine.conns.remove(c) {
		c.left()
		c.engine.conns.checkEmpty() // last: Shutdown goes on
	}
}

// waits implements the Waits of a backend.ConnOwner. While the engine shuts down a conn ends when it waits for its peer,
// and has nothing in hand that the peer has not taken.
func (c *conn) waits(sending, waits bool) bool {
	bit := uint32(receives)
	if sending {
		bit = sends
	}
	if waits {
		c.state.Or(bit)
	} else {
		c.state.And(^bit)
	}
	if c.engine.conns.draining.Load() {
		c.endIfIdle()
	}
	return c.state.Load()&ends != 0
}

// endIfIdle decides that the conn ends, if it waits for its peer. It reports whether this call has decided so.
func (c *conn) endIfIdle() bool { return c.state.CompareAndSwap(receives, receives|ends) }

// add counts a conn that begins, unless nothing begins any longer.
func (s *conns) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	if s.all == nil {
		s.all = map[*conn]struct{}{}
	}
	s.all[c] = struct{}{}
	s.opened++
	return true
}

// publish shows a conn that is whole to those who end it. It reports false if they have been here.
func (s *conns) publish(c *conn, inner backend.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.inner = inner
	return !s.over
}

// remove reports whether the conn was there.
func (s *conns) remove(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[c]; !ok {
		return false
	}
	delete(s.all, c)
	s.closed++
	return true
}

func (s *conns) checkEmpty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil || len(s.all) > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// drain ends conns that wait for their peers now, or will, and returns what is closed when none is left.
func (s *conns) drain() <-chan struct{} {
	s.draining.Store(true) // a call that begins to wait sees this, or is seen below
	s.mu.Lock()
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	s.over = true
	empty := s.empty
	s.mu.Unlock()
	for _, c := range s.list() {
		if c.endIfIdle() {
			go func() { _ = c.inner.Finish() }() // which waits for a Write, or for a function that has the descriptor
		}
	}
	s.checkEmpty()
	return empty
}

// abort resets all. It waits for none.
func (s *conns) abort() {
	for _, c := range s.list() {
		go reset(c.inner)
	}
}

func (s *conns) list() (all []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if c.inner != nil {
			all = append(all, c)
		}
	}
	return all
}

// open is how many there are.
func (s *conns) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// stats returns the figures.
func (s *conns) stats() ConnStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ConnStats{Open: len(s.all), Opened: s.opened, Closed: s.closed, BytesIn: s.in.Load(), BytesOut: s.out.Load()}
}

func reset(c backend.Conn) {
	resetConn(c)
	_ = c.Close()
}

// DialConn is Dial for a net.Conn. Its goroutine waits for the kernel itself: no loop carries the bytes.
func (e *Engine) DialConn(ctx context.Context, network, address string, o *DialOptions) (net.Conn, error) {
	switch {
	case o == nil:
	case o.TLS != nil:
		return nil, &net.OpError{Op: "dial", Net: network, Err: errTLSConn}
	case o.ReceiveFiles > 0:
		return nil, &net.OpError{Op: "dial", Net: network, Err: errFilesConn}
	}
	given := make(chan backend.Descriptor, 1)
	_, err := e.dial(ctx, network, address, BaseHandler{}, o, given)
	select {
	case fd := <-given:
		c, err := e.newConn(fd, network, nil, nil)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return c, nil
	default:
		return nil, err
	}
}

// errGiven ends the stream of a dial whose connection became a Conn.
var errGiven = errors.New("tandem: the connection became a net.Conn")
