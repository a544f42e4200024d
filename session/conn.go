package session

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Conns are connections for code that reads and blocks: a goroutine waits for the kernel itself, and no loop carries
// the bytes. Loops accept and dial them; the engine counts them, bounds them and ends them.
//
//	Listener ── accepts, on a loop ──► queue ──► Accept ──► conn ── Read, Write: the goroutine and the kernel
//	dial     ── connects, on a loop ──────────────────────► conn

// conns are those of an engine that are open.
type conns struct {
	In, Out  atomic.Uint64 // bytes, of all that there ever were
	draining atomic.Bool   // Shutdown: those that wait for their peer end

	mu     sync.Mutex // guards what follows
	all    map[*conn]struct{}
	opened uint64
	closed uint64
	empty  chan struct{} // closed when draining and none is left; nil before
	over   bool          // none may begin
}

// conn is a Conn of the engine's.
type conn struct {
	backend.Conn
	engine *Engine
	from   *listener   // nil: it was dialled
	waits  atomic.Bool // a Read waits for the peer
}

// newConn makes a conn of a descriptor, which is its own from then on.
func (e *Engine) newConn(fd backend.Descriptor, from *listener) (*conn, error) {
	c := &conn{engine: e, from: from}
	if !e.conns.add(c) {
		e.sockets().CloseSocket(fd, backend.Closing{Reset: true})
		c.left()
		return nil, net.ErrClosed
	}
	inner, err := e.sockets().Conn(fd, backend.ConnOwner{In: &e.conns.In, Out: &e.conns.Out, Waits: c.aboutToWait, Closed: c.gone})
	if err != nil {
		c.gone()
		return nil, err
	}
	e.conns.publish(c, inner)
	return c, nil
}

// left gives back the room that the conn had below MaxConns.
func (c *conn) left() {
	if c.from != nil {
		c.from.ended()
	}
}

// gone follows Close.
func (c *conn) gone() {
	if c.engine.conns.remove(c) {
		c.left()
	}
}

// aboutToWait implements the Waits of a backend.ConnOwner. While the engine shuts down a conn that has to wait for its
// peer has nothing in hand, and ends.
func (c *conn) aboutToWait() bool {
	c.waits.Store(true)
	return c.engine.conns.draining.Load()
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.waits.Load() {
		c.waits.Store(false)
	}
	if err != nil && c.engine.conns.draining.Load() && errors.Is(err, net.ErrClosed) {
		_ = c.Close()
	}
	return n, err
}

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

// publish shows a conn that is whole to those who end it, and ends it if they have been here.
func (s *conns) publish(c *conn, inner backend.Conn) {
	s.mu.Lock()
	c.Conn = inner
	over := s.over
	s.mu.Unlock()
	if over {
		c.abort()
	}
}

func (s *conns) remove(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[c]; !ok {
		return false
	}
	delete(s.all, c)
	s.closed++
	s.checkEmptyLocked()
	return true
}

func (s *conns) checkEmptyLocked() {
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
	s.draining.Store(true) // a Read that begins to wait sees this, or is seen below
	s.mu.Lock()
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	s.over = true
	idle := s.listLocked(func(c *conn) bool { return c.waits.Load() })
	s.checkEmptyLocked()
	empty := s.empty
	s.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
	return empty
}

// abort resets all.
func (s *conns) abort() {
	s.mu.Lock()
	all := s.listLocked(func(*conn) bool { return true })
	s.mu.Unlock()
	for _, c := range all {
		c.abort()
	}
}

func (s *conns) listLocked(which func(*conn) bool) (list []*conn) {
	for c := range s.all {
		if c.Conn != nil && which(c) {
			list = append(list, c)
		}
	}
	return list
}

func (c *conn) abort() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// DialConn is Dial for a net.Conn. Its goroutine waits for the kernel itself: no loop carries the bytes.
func (e *Engine) DialConn(ctx context.Context, network, address string, o *DialOptions) (net.Conn, error) {
	given := make(chan backend.Descriptor, 1)
	_, err := e.dial(ctx, network, address, BaseHandler{}, o, given)
	select {
	case fd := <-given:
		c, err := e.newConn(fd, nil)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return c, nil
	default:
		return nil, err
	}
}

// errGiven ends the stream of a dial whose connection became a conn.
var errGiven = errors.New("tandem: the connection became a net.Conn")

var _ syscall.Conn = (*conn)(nil)
