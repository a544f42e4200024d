package session

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// acceptQueue is how many connections wait for Accept at most. Further ones wait in the backlog.
const acceptQueue = 64

// connQueue holds connections that loops have accepted, for Accept.
type connQueue struct {
	n       atomic.Int32 // that wait, or are about to
	waiting chan connection
	over    chan struct{} // closed when the listener has ended

	mu       sync.Mutex // guards what follows
	closed   bool       // nothing more comes
	deadline time.Time
	moved    chan struct{} // closed when the deadline is set
	logged   logLimit
}

func newConnQueue() *connQueue {
	return &connQueue{waiting: make(chan connection, acceptQueue), over: make(chan struct{}), moved: make(chan struct{})}
}

// reserve takes room for one connection.
func (q *connQueue) reserve() bool {
	if q.n.Add(1) <= acceptQueue {
		return true
	}
	q.n.Add(-1)
	return false
}

// full reports whether there is no room.
func (q *connQueue) full() bool { return q.n.Load() >= acceptQueue }

// put has a connection wait for which room was reserved. It reports false if nobody will accept it.
func (q *connQueue) put(c connection) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.n.Add(-1)
		return false
	}
	q.waiting <- c
	return true
}

// close returns what nobody will accept. It is called once.
func (q *connQueue) close() (left []connection) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	close(q.over)
	for {
		select {
		case c := <-q.waiting:
			left = append(left, c)
		default:
			return left
		}
	}
}

// setDeadline is SetDeadline of the listener.
func (q *connQueue) setDeadline(t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deadline = t
	close(q.moved)
	q.moved = make(chan struct{})
}

// allowLog reports whether a failure may be logged now.
func (q *connQueue) allowLog(clock backend.Clock) (skipped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.logged.allow(clock.Now().UnixNano())
}

// take waits for a connection, within the deadline.
func (q *connQueue) take(clock backend.Clock) (connection, error) {
	for {
		q.mu.Lock()
		deadline, moved, closed := q.deadline, q.moved, q.closed
		q.mu.Unlock()
		if closed {
			return connection{}, net.ErrClosed
		}
		var passed <-chan struct{}
		stop := func() bool { return true }
		if !deadline.IsZero() {
			left := deadline.Sub(clock.Now())
			if left <= 0 {
				return connection{}, os.ErrDeadlineExceeded
			}
			passed, stop = backend.After(clock, left)
		}
		select {
		case c := <-q.waiting:
			stop()
			q.n.Add(-1)
			return c, nil
		case <-q.over:
			stop()
			return connection{}, net.ErrClosed
		case <-passed:
		case <-moved:
			stop()
		}
	}
}

// connListener is the net.Listener of ListenConn.
type connListener struct{ *listener }

var _ net.Listener = connListener{} //nolint:forbidigo // an interface, and no socket

// ListenConn is Listen for code that takes a net.Listener. Loops accept; what Accept returns is the caller's, and no loop
// carries its bytes.
func (e *Engine) ListenConn(network, address string, o *ListenOptions) (net.Listener, error) { //nolint:forbidigo // an interface, and no socket
	switch {
	case o == nil:
	case o.TLS != nil:
		return nil, &net.OpError{Op: "listen", Net: network, Err: errTLSConn}
	case o.ReceiveFiles > 0:
		return nil, &net.OpError{Op: "listen", Net: network, Err: errFilesConn}
	}
	l, err := e.listen(network, address, BaseHandler{}, o, newConnQueue())
	if err != nil {
		return nil, err
	}
	return connListener{l}, nil
}

// Accept implements net.Listener.
func (l connListener) Accept() (net.Conn, error) {
	for {
		taken, err := l.conns.take(l.engine.clock)
		if err != nil {
			if own := l.Err(); own != nil && err == net.ErrClosed {
				err = own
			}
			return nil, l.acceptError(err)
		}
		if l.waiting.Load() > 0 {
			l.wake() // there is room in the queue
		}
		switch c, err := l.engine.newConn(taken.fd, l.network, l.listener, taken.source); err {
		case nil:
			return c, nil
		case net.ErrClosed:
			return nil, l.acceptError(err)
		default:
			l.unwatched(err) // the next may be better
		}
	}
}

// unwatched follows a connection that was accepted, and is closed because Go's poller has no memory for it.
func (l connListener) unwatched(err error) {
	l.errors.Add(1)
	if skipped, ok := l.conns.allowLog(l.engine.clock); ok {
		l.engine.log.Warn("tandem: a connection was accepted and is closed", "listener", l.addr, "error", err, "skipped", skipped)
	}
}

func (l connListener) acceptError(err error) error {
	if op, ok := err.(*net.OpError); ok {
		return op
	}
	return &net.OpError{Op: "accept", Net: l.network, Addr: l.addr, Err: err}
}

// SetDeadline has Accept return os.ErrDeadlineExceeded from then on. The zero time is none.
func (l connListener) SetDeadline(t time.Time) error {
	if l.Err() != nil {
		return &net.OpError{Op: "set", Net: l.network, Addr: l.addr, Err: net.ErrClosed}
	}
	l.conns.setDeadline(t)
	return nil
}

// give has a connection wait for Accept.
func (a *listenSocket) give(c connection) {
	l := a.listener
	l.accepted.Add(1)
	a.loop.Count[backend.Accepts]++
	if !l.conns.put(c) {
		a.reset(c)
		l.ended(nil)
	}
}

// dropQueue resets what nobody will accept.
func (l *listener) dropQueue() {
	if l.conns == nil {
		return
	}
	for _, c := range l.conns.close() {
		l.engine.sockets().CloseSocket(c.fd, backend.Closing{Reset: true})
		l.ended(c.source)
	}
}
