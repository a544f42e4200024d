package polled

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// Notifier is a Session that wakes the goroutine that owns it, so that this need not poll what has nothing to do. All
// Sessions of this package are Notifiers, and those of packages httpsession and wssession, if what they are based on is.
//
// Once fn was set, the owner polls the Session, as below, and from then on only when fn was called:
//
//	wake := make(chan struct{}, 1)
//	err := s.Notify(func() {
//		select {
//		case wake <- struct{}{}:
//		default:
//		}
//	})
//	…
//	for {
//		for more := true; more; {
//			// Drive; Read, until the status is None; Write what is pending
//			more = … // Drive was Active, Read was not None, or a Write was taken
//		}
//		select {
//		case <-wake:
//		case … // whatever else the owner waits for
//		}
//	}
//
// fn is called when the Session has something for its owner: it is Established, bytes have arrived, there is room again
// after a Write was Pending or the write buffer of a layer could not be sent, the peer has finished, or the Session has
// ended. Bytes that are no whole message yet count as well.
//
//   - After a call there is no other one until the owner has looked, which is to call Drive or Read.
//   - After a look there is a call if anything happens that the look could not see. None is lost: a look and what happens
//     are in an order, and a Session that has told of something shows it. A call may find nothing, because the owner has
//     seen in an earlier look what it was for.
//   - There is no call because of what the owner does itself, such as a Write, nor because of time. Whatever waits for a
//     time, such as a Heartbeat, a Liveness or a MessageTimeout, is to be driven by then.
//   - No call begins after the owner has seen the end: after Close or Detach, or an error of Drive, or one of Read but
//     io.EOF. One that has begun may still be running then.
//
// fn is called on the loop of the connection, with no lock held that a method of the Session takes, and must not block: to
// send to a channel with room, to write to an eventfd, and to call Post of a Loop are all right. It must not use the
// Session. A panic in it is one in a callback of the stream, and resets it. On a CallerDriven Transport it is called within
// Drive, and of use only where one Drive has work for several Sessions.
type Notifier interface {
	// Notify sets the function, instead of one that was set before. The owner polls afterwards: what has happened already
	// need not be told. nil: there are no more calls. The error is net.ErrClosed after Close, and errors.ErrUnsupported if a
	// Session below is no Notifier.
	Notify(fn func()) error
}

// notifyBelow has the Session below a layer call fn.
func notifyBelow(below any, fn func()) error {
	n, ok := below.(Notifier)
	if !ok {
		return fmt.Errorf("polled: notify of a %T: %w", below, errors.ErrUnsupported)
	}
	return n.Notify(fn)
}

// notice is whether an owner is to be told of news, and was. A lock of its user guards it.
type notice struct {
	fn   func() // nil: nobody is told
	told bool   // it was called, and the owner has not looked since
}

// set sets the function.
func (n *notice) set(fn func()) { n.fn, n.told = fn, false }

// look follows that the owner looks at all there is, before it does.
func (n *notice) look() { n.told = false }

// news follows that there is something to be seen. What it returns, unless it is nil, is called when the lock is released.
func (n *notice) news() func() {
	if n.fn == nil || n.told {
		return nil
	}
	n.told = true
	return n.fn
}

// tell calls the result of a function that runs with mu held, unless it is nil.
func tell(mu *sync.Mutex, news func() func()) {
	mu.Lock()
	fn := news()
	mu.Unlock()
	if fn != nil {
		fn()
	}
}

// Notify implements Notifier.
func (b *StreamSession) Notify(fn func()) error {
	if b.closed {
		return net.ErrClosed
	}
	b.notified = fn != nil
	b.handler.setNotify(fn)
	return nil
}

// Notify implements Notifier.
func (f *MessageSession[R, W]) Notify(fn func()) error {
	if f.closed {
		return net.ErrClosed
	}
	return notifyBelow(f.inner, fn)
}

// Notify implements Notifier. Beats are not told of: the owner drives the session once in each interval.
func (h *Heartbeat[R, W]) Notify(fn func()) error { return notifyBelow(h.Session, fn) }

// Notify implements Notifier. That the time has passed is not told: the owner drives the session when it has.
func (l *Liveness[R, W]) Notify(fn func()) error { return notifyBelow(l.Session, fn) }

// Notify implements Notifier.
func (r *remainder) Notify(fn func()) error { return notifyBelow(r.Bytes, fn) }

// Notify is that of a Notifier for the Listener: fn is called when a session waits for Accept, and when the listener has
// ended by itself or by a Shutdown, after which no call begins. A look is a call of Accept; the owner accepts until there is
// no session left. fn is called on a loop, or, at the end, on the goroutine of the Shutdown.
func (a *Listener) Notify(fn func()) error {
	if a.closed {
		return net.ErrClosed
	}
	a.queue.mu.Lock()
	defer a.queue.mu.Unlock()
	a.queue.notice.set(fn)
	return nil
}

var (
	_ Notifier = (*StreamSession)(nil)
	_ Notifier = (*MessageSession[[]byte, []byte])(nil)
	_ Notifier = (*Heartbeat[[]byte, []byte])(nil)
	_ Notifier = (*Liveness[[]byte, []byte])(nil)
	_ Notifier = (*remainder)(nil)
	_ Notifier = (*Listener)(nil)
)
