package polled

import (
	"net"
	"sync"

	"github.com/tandem-io/tandem/session"
)

// unaccepted is how many sessions wait in an Listener before it stops accepting, unless MaxConns says less.
const unaccepted = 1024

// Listener is a listener that its caller polls: Accept takes a session, or says that nobody waits. One goroutine at a
// time may use it.
type Listener struct {
	listener session.Listener
	pump     session.Poller
	closed   bool
	queue    acceptQueue
}

// acceptQueue is the Handler of a listener. It runs on the loops, until each stream gets a handler of its own. Sessions
// that wait are a list, so that one that ends leaves it whatever its place.
type acceptQueue struct {
	session.BaseHandler
	listener session.Listener // set before any stream is waited for; nil before

	mu          sync.Mutex // guards what follows
	first, last *StreamSession
	n           int
	paused      bool // unaccepted of them wait
	closed      bool
}

// Listen opens a listener as Transport.Listen does. Connections that nobody has accepted wait here, and 16 KiB of each are
// read, and what the kernel hands over with that. They count for MaxConns; those that have failed leave the queue, and so
// does what their peers had sent. When MaxConns of them wait, or 1,024, the rest waits in the kernel's backlog: a few more
// may have been accepted by then. o may be nil.
func Listen(t Transport, network, address string, o *session.ListenOptions) (*Listener, error) {
	var mine session.ListenOptions
	if o != nil {
		mine = *o
	}
	mine.AllowHalfClose = true
	a := &Listener{}
	l, err := t.Listen(network, address, &a.queue, &mine)
	if err != nil {
		return nil, err
	}
	a.listener, a.pump = l, session.ListenerPoller(l)
	a.queue.mu.Lock()
	a.queue.listener = l
	a.queue.bound()
	a.queue.mu.Unlock()
	return a, nil
}

// OnOpen implements Handler.
func (q *acceptQueue) OnOpen(s *session.Stream) {
	b := NewStreamSession(s)
	b.handler.waits = func() { q.remove(b) }
	b.handler.setRoom(handoverUnasked)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		_ = s.Abort()
		return
	}
	if b.prev = q.last; b.prev == nil {
		q.first = b
	} else {
		b.prev.next = b
	}
	q.last = b
	b.queued = true
	q.n++
	q.bound()
}

// bound stops accepting while too many wait. mu is held.
func (q *acceptQueue) bound() {
	switch {
	case q.listener == nil:
	case !q.paused && q.n >= unaccepted:
		q.paused = true
		q.listener.PauseAccept()
	case q.paused && q.n <= unaccepted/2:
		q.paused = false
		q.listener.ResumeAccept()
	}
}

// remove takes a session out of the queue, if it is still there.
func (q *acceptQueue) remove(b *StreamSession) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.removeLocked(b)
}

func (q *acceptQueue) removeLocked(b *StreamSession) {
	if !b.queued {
		return
	}
	if b.prev == nil {
		q.first = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		q.last = b.prev
	} else {
		b.next.prev = b.prev
	}
	b.prev, b.next, b.queued = nil, nil, false
	q.n--
	q.bound()
}

// Accept returns a session that is Established, if there is one. It never waits. On a CallerDriven Transport it polls,
// as Drive of a StreamSession does. After Close the error is net.ErrClosed, and that of the listener if it has ended.
func (a *Listener) Accept() (s *StreamSession, ok bool, err error) {
	if a.closed {
		return nil, false, net.ErrClosed
	}
	if s = a.queue.take(); s != nil {
		return s, true, nil
	}
	if _, err := a.pump.Poll(0); err != nil {
		return nil, false, err
	}
	if s = a.queue.take(); s != nil {
		return s, true, nil
	}
	return nil, false, a.listener.Err()
}

func (q *acceptQueue) take() *StreamSession {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.first
	if b != nil {
		q.removeLocked(b)
		b.handler.setRoom(handover)
	}
	return b
}

// Addr is the address that is listened on.
func (a *Listener) Addr() net.Addr { return a.listener.Addr() }

// Stats returns the listener's figures.
func (a *Listener) Stats() session.ListenerStats { return a.listener.Stats() }

// Close ends accepting, and resets connections that nobody has accepted. Sessions live on.
func (a *Listener) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	a.queue.mu.Lock()
	a.queue.closed = true
	a.queue.mu.Unlock()
	for b := a.queue.take(); b != nil; b = a.queue.take() {
		_ = b.stream.Abort()
	}
	return a.listener.Close()
}
