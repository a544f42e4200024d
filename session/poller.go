package session

import "time"

// Poller polls a CallerDriven Transport on behalf of one of the layers that share it. Each of them calls Poll once in a
// duty cycle, and knows nothing of the others; only the first call of a cycle runs a turn of the Transport. On a
// Transport with loops of its own Poll does nothing. The zero Poller polls nothing.
//
// A Poller belongs to the goroutine that polls the Transport.
type Poller struct {
	loop *loop  // nil: there is nothing to poll
	turn uint64 // the turn that was seen last
}

// StreamPoller returns a Poller of the stream's Transport.
func StreamPoller(s *Stream) Poller { return newPoller(s.loop.engine) }

// ListenerPoller returns a Poller of the listener's Transport.
func ListenerPoller(l Listener) Poller {
	if own, ok := l.(*listener); ok {
		return newPoller(own.engine)
	}
	return Poller{}
}

func newPoller(e *Engine) Poller {
	if !e.driven {
		return Poller{}
	}
	return Poller{loop: e.loops[0]}
}

// CallerDriven reports whether the Transport has to be polled.
func (p *Poller) CallerDriven() bool { return p.loop != nil }

// Poll runs a turn of the Transport, as Transport.Poll does, unless another caller has run one since this Poller's last
// turn. It waits at most timeout for something to happen, and returns the number of events. In a callback it returns an
// error.
func (p *Poller) Poll(timeout time.Duration) (events int, err error) {
	switch {
	case p.loop == nil:
		return 0, nil
	case p.loop.OnLoop() && p.loop.Turn() != p.turn && !p.loop.Stepping():
		p.turn = p.loop.Turn()
		return 0, nil
	}
	events, err = p.loop.engine.Poll(timeout)
	p.turn = p.loop.Turn()
	return events, err
}
