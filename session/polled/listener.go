package polled

import (
	"net"

	"github.com/tandem-io/tandem/session"
)

// mostUnaccepted is the number of sessions that wait in a Listener before it stops accepting, unless MaxConns is lower.
const mostUnaccepted = 1024

// Listener is a listener that its caller polls: Accept returns a session, or reports that none is waiting. One goroutine at
// a time may use it.
type Listener struct {
	listener session.Listener
	poller   session.Poller
	closed   bool
	queue    acceptQueue
}

// Listen listens as Transport.Listen does. AllowHalfClose is always set. o may be nil.
//
// Connections are queued until Accept returns them, and count for MaxConns meanwhile. Of each, about 16 KiB are read.
// Those that fail leave the queue, and what their peers had sent is lost. When 1,024 connections are queued, or MaxConns of
// them, further ones wait in the kernel's backlog; a few more may have been accepted by then.
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
	a.listener, a.poller = l, session.ListenerPoller(l)
	a.queue.mu.Lock()
	a.queue.listener = l
	a.queue.limit()
	a.queue.mu.Unlock()
	session.OnListenerEnd(l, a.queue.ended)
	return a, nil
}

// Accept returns a session that is Established, if one is waiting. It never waits. On a CallerDriven Transport it polls, as
// Drive of a session does. After Close the error is net.ErrClosed; if the listener has failed, it is that failure.
func (a *Listener) Accept() (s *StreamSession, ok bool, err error) {
	if a.closed {
		return nil, false, net.ErrClosed
	}
	if s = a.queue.take(); s != nil {
		return s, true, nil
	}
	if _, err := a.poller.Poll(0); err != nil {
		return nil, false, err
	}
	if s = a.queue.take(); s != nil {
		return s, true, nil
	}
	return nil, false, a.listener.Err()
}

// Addr returns the address that is listened on.
func (a *Listener) Addr() net.Addr { return a.listener.Addr() }

// Stats returns the listener's statistics.
func (a *Listener) Stats() session.ListenerStats { return a.listener.Stats() }

// Close stops accepting, and resets the connections that nobody has accepted. Accepted sessions go on.
func (a *Listener) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	a.queue.mu.Lock()
	a.queue.closed = true
	a.queue.notice.set(nil)
	a.queue.mu.Unlock()
	for b := a.queue.take(); b != nil; b = a.queue.take() {
		_ = b.stream.Abort()
	}
	return a.listener.Close()
}
