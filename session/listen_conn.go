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

	mu       sync.Mutex   // guards what follows
	finished bool         // nothing more comes
	late     []connection // behind waiting: from a listener that has ended, whatever room there was
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
	if q.finished {
		q.n.Add(-1)
		return false
	}
	q.waiting <- c
	return true
}

// putLate is put without room.
func (q *connQueue) putLate(c connection) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.finished {
		return false
	}
	q.n.Add(1)
	q.late = append(q.late, c)
	return true
}

// finish notes that nothing more comes. What waits may still be taken.
func (q *connQueue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finishLocked()
}

func (q *connQueue) finishLocked() {
	if !q.finished {
		q.finished = true
		close(q.over)
	}
}

// close is finish, and returns what nobody will accept.
func (q *connQueue) close() (left []connection) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finishLocked()
	for c, ok := q.nextLocked(); ok; c, ok = q.nextLocked() {
		left = append(left, c)
	}
	return left
}

// nextLocked takes a connection without waiting. mu is held.
func (q *connQueue) nextLocked() (c connection, ok bool) {
	select {
	case c = <-q.waiting:
	default:
		if len(q.late) == 0 {
			return c, false
		}
		c, q.late = q.late[0], q.late[1:]
	}
	q.n.Add(-1)
	return c, true
}

// empty reports whether nothing waits, and nothing more comes.
func (q *connQueue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.finished && len(q.waiting)+len(q.late) == 0
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
		deadline, moved := q.deadline, q.moved
		if q.finished {
			c, ok := q.nextLocked()
			q.mu.Unlock()
			if !ok {
				return c, net.ErrClosed
			}
			return c, nil
		}
		q.mu.Unlock()
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
		l.forgetEmpty()
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

// giveLate is give for what a listener has accepted that has ended and shares its socket.
func (a *listenSocket) giveLate(c connection) {
	l := a.listener
	if !l.conns.putLate(c) {
		a.reset(c)
		return
	}
	l.live.Add(1)
	l.accepted.Add(1)
	a.loop.Count[backend.Accepts]++
}

// acceptedLast has Accept of a listener that has ended return net.ErrClosed behind what waits, once all its sockets are
// closed.
func (l *listener) acceptedLast() {
	if l.conns == nil {
		return
	}
	l.mu.Lock()
	over := l.err != nil
	for _, a := range l.heads {
		over = over && a.isGone()
	}
	l.mu.Unlock()
	if over {
		l.conns.finish()
		l.forgetEmpty()
	}
}

// forgetEmpty has Shutdown forget a listener that has ended and has nothing left for Accept.
func (l *listener) forgetEmpty() {
	if l.conns.empty() {
		l.engine.forget(l)
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
