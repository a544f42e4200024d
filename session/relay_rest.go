package session

import (
	"math"
	"net"
	"time"
)

// room is how many bytes a write may have to be taken now, if nobody else writes. Any goroutine.
func (s *Stream) room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	queued := s.admittedLocked()
	if queued == 0 {
		return math.MaxInt
	}
	left := s.opts.WriteBufferLimit - queued
	if s.tls != nil {
		left -= sealedSize(left) - left
	}
	return max(left, 0)
}

// isEnding reports whether the stream was closed, or has ended. Any goroutine.
func (s *Stream) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.phase > open
}

// isDialing reports whether the stream is still being connected. Any goroutine.
func (s *Stream) isDialing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.phase == dialing && s.opts.dial != nil // one that is adopted is connected already
}

// wasReset reports whether the stream ends by a reset from this end. Any goroutine.
func (s *Stream) wasReset() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.reset
}

// failure is what ended a stream that was not taken over: nil if it was closed, and not reset. Any goroutine.
func (s *Stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.causeOr(net.ErrClosed)
	if err == net.ErrClosed && !s.life.reset {
		return nil
	}
	return err
}

// allTaken reports whether nothing of what was written would be lost by a reset. A Unix socket has none: its peer can
// read what the kernel has.
func (s *Stream) allTaken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drainedLocked() && (s.ends.IsUnix() || s.loop.Sockets.Unsent(s.fd) == 0)
}

const (
	shortestLook = time.Millisecond
	longestLook  = 100 * time.Millisecond
)

// lastBytes looks after a stream that is to be reset when its peer has all that was queued: the kernel tells nobody when
// that is, and a reset destroys what it has not sent.
type lastBytes struct {
	end   *relayEnd
	cause error
	taken uint64 // bytes that the peer's kernel had at the last look
	since int64  // when it had taken the last of them, on the loop's clock
	pause time.Duration
}

// endAfterRest resets the stream when its peer has taken what is queued, and what the other stream has left. A stream
// that is not taken over yet may still be written to by its handler, which comes first. Loop only.
func (e *relayEnd) endAfterRest(cause error) {
	s := e.stream
	if s.isEnding() {
		return
	}
	if !s.relays { // begin comes later
		e.failed = cause
		return
	}
	s.PauseRead()
	r := &lastBytes{end: e, cause: cause, taken: s.taken(), since: s.loop.Clock(), pause: shortestLook}
	r.look()
}

// look resets the stream, or looks again later.
func (r *lastBytes) look() {
	s, now := r.end.stream, r.end.stream.loop.Clock()
	if s.isEnding() {
		return
	}
	left := r.end.to
	left.passRest()
	if n := s.taken(); n != r.taken {
		r.taken, r.since = n, now
		r.pause = shortestLook
	}
	limit := int64(s.opts.CloseTimeout)
	if left.rest == nil && s.allTaken() || limit > 0 && now-r.since >= limit {
		_ = s.AbortWith(r.cause)
		return
	}
	s.After(r.pause, r.look)
	r.pause = min(2*r.pause, longestLook)
}

// writeRelayed is WriteBuffer for bytes of a relay, for which there was room when it looked. Another loop may have queued
// a few bytes of TLS meanwhile.
func (s *Stream) writeRelayed(b *Buffer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusesLocked() {
		return net.ErrClosed
	}
	return s.takeBufferLocked(b)
}

// passRest gives what the stream has left to the other one, if that takes it now: at the latest when it has nothing queued
// any more. On the other one's loop only.
func (e *relayEnd) passRest() {
	if e.rest == nil || e.to.stream.room() < len(e.rest.Bytes()) {
		return
	}
	n := len(e.rest.Bytes())
	if e.to.stream.writeRelayed(e.rest) != nil {
		e.drop()
		return
	}
	e.rest = nil
	e.passed.Add(uint64(n))
}

// drop releases what the stream has left, if anything.
func (e *relayEnd) drop() {
	if e.rest != nil {
		e.rest.Release()
		e.rest = nil
	}
}
