package session

import (
	"net"
	"sync"
)

// Acceptor is a listener that its caller polls: Accept takes a session, or tells that nobody waits. One goroutine at a
// time may use it.
type Acceptor struct {
	listener Listener
	pump     pump
	closed   bool
	queue    acceptQueue
}

// acceptQueue is the Handler of a listener. It runs on the loops, until each stream gets a handler of its own.
type acceptQueue struct {
	BaseHandler
	mu      sync.Mutex // guards what follows
	waiting []*Streaming
	closed  bool
}

// Listen opens a listener as Transport.Listen does. Connections that nobody has accepted wait here, and are read as far as
// a session that is not read; MaxConns bounds how many there are, and then the rest waits in the kernel's
// backlog. o may be nil.
func Listen(t Transport, network, address string, o *ListenOptions) (*Acceptor, error) {
	var mine ListenOptions
	if o != nil {
		mine = *o
	}
	mine.AllowHalfClose = true
	a := &Acceptor{}
	l, err := t.Listen(network, address, &a.queue, &mine)
	if err != nil {
		return nil, err
	}
	a.listener = l
	if own, ok := l.(*listener); ok {
		a.pump.loop = own.engine.loops[0]
	}
	return a, nil
}

// OnOpen implements Handler.
func (q *acceptQueue) OnOpen(s *Stream) {
	b := NewStreaming(s)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		_ = s.Abort()
		return
	}
	q.waiting = append(q.waiting, b)
}

// Accept returns a session that is Established, if there is one. It never waits. On a CallerDriven Transport it polls,
// as Drive of a Streaming does. After Close the error is net.ErrClosed.
func (a *Acceptor) Accept() (s *Streaming, ok bool, err error) {
	if a.closed {
		return nil, false, net.ErrClosed
	}
	if s = a.queue.take(); s != nil {
		return s, true, nil
	}
	if _, err := a.pump.poll(); err != nil {
		return nil, false, err
	}
	s = a.queue.take()
	return s, s != nil, nil
}

func (q *acceptQueue) take() *Streaming {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	s := q.waiting[0]
	q.waiting[0] = nil
	if q.waiting = q.waiting[1:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return s
}

// Addr is the address that is listened on.
func (a *Acceptor) Addr() net.Addr { return a.listener.Addr() }

// Stats returns the listener's figures.
func (a *Acceptor) Stats() ListenerStats { return a.listener.Stats() }

// Close ends accepting, and resets connections that nobody has accepted. Sessions live on.
func (a *Acceptor) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	a.queue.mu.Lock()
	a.queue.closed = true
	left := a.queue.waiting
	a.queue.waiting = nil
	a.queue.mu.Unlock()
	for _, s := range left {
		_ = s.stream.Abort()
	}
	return a.listener.Close()
}
