package session

import "github.com/tandem-io/tandem/backend"

const (
	largePiece = 32 << 10 // from how many bytes on that come in one turn the next are forwarded
	smallPiece = 8 << 10  // below how many it is not worth it
	fewSmall   = 4        // after how many of these in a row they are received as usual again
)

// A relayEnd is a Forwarder: where much comes at a time, and the other stream has nothing queued, the bytes go from socket
// to socket within the kernel, if the drivers of both can do that.
var _ backend.Forwarder = (*relayEnd)(nil)

// Forwarder implements backend.ForwardOwner.
func (e *streamEvents) Forwarder() backend.Forwarder { return e.own.forwarder }

// forwards reports whether the loop's sockets can be forwarded, and be forwarded to: with other drivers the number of a
// Descriptor is no file descriptor. Any goroutine.
func (l *loop) forwards() bool {
	_, can := l.Sockets.(backend.ForwardingDriver)
	return can
}

// Expects implements backend.Forwarder.
func (e *relayEnd) Expects() bool { return e.bulk }

// Wants implements backend.Forwarder.
func (e *relayEnd) Wants() (backend.Descriptor, bool) {
	s, to := e.stream, e.to.stream
	if !e.bulk || s.rx.in.len() > 0 || s.rx.resumed() || !s.deliverable() || !e.relay.joined() {
		return backend.Descriptor{}, false
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if !to.forwardsLocked() {
		return backend.Descriptor{}, false
	}
	return to.fd, true
}

// forwardsLocked reports whether bytes may go to the stream past its queue.
func (s *Stream) forwardsLocked() bool { return s.tls == nil && !s.refusesLocked() && s.idleLocked() }

// Forward implements backend.Forwarder.
func (e *relayEnd) Forward(p *backend.Pipe, n int) int {
	s, to := e.stream, e.to.stream
	if e.small++; n >= smallPiece {
		e.small = 0
	} else if e.small >= fewSmall {
		e.bulk = false
	}
	to.mu.Lock()
	moved := 0
	if to.forwardsLocked() {
		var err error
		if moved, err = p.Drain(to.fd, n); moved > 0 {
			to.tx.accepted += uint64(moved)
			if to.loop == s.loop {
				to.sentAtOnceLocked(moved, nil)
			} else {
				to.directLocked(moved, nil)
			}
		}
		if err != nil {
			to.brokenLocked("write", err, to.loop.OnLoop())
		}
	}
	to.mu.Unlock()
	if moved > 0 {
		s.forwarded(moved)
		e.passed.Add(uint64(moved))
	}
	return moved
}

// forwarded accounts for n bytes that came and were forwarded.
func (s *Stream) forwarded(n int) {
	s.loop.Count[backend.BytesIn] += uint64(n)
	s.loop.Count[backend.BytesDelivered] += uint64(n)
	s.loop.Count[backend.Reads]++
	s.rx.read += uint64(n)
	s.rx.turnReads++
	s.rx.spend(n)
	s.came(n)
}
