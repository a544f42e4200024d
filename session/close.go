package session

import (
	"net"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// A stream that closes in stages waits for the peer's end for silentStage without a byte, and for wholeStage at most; or
// for silentStage in all, if it closes because the peer has taken too long already.
const (
	silentStage = 500 * time.Millisecond
	wholeStage  = 2 * time.Second
)

// CloseWrite sends what is queued and then FIN. Reading goes on, and later writes return net.ErrClosed. Any goroutine;
// it does not block.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.phase > open {
		return net.ErrClosed
	}
	if !s.tx.finWant {
		s.tx.finWant = true
		s.scheduleLocked(s.loop.OnLoop())
	}
	return nil
}

// Close stops reading and delivering, sends what is queued, and closes the stream. It returns at once, with nil; OnClose
// tells the end: nil, or os.ErrDeadlineExceeded if the peer took no byte for CloseTimeout, in which case the connection
// is reset. A stream that has failed already ends with its failure. Calls after the first do nothing. Any goroutine.
//
// What the peer has sent and nobody read is dropped first, because the kernel would otherwise reset the connection and
// with it what the peer has not read yet. A peer that goes on sending to a closed stream gets a reset all the same;
// CloseInStages avoids that.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeStreamLocked(false)
	return nil
}

// closeStreamLocked is Close, in stages or at once. mu is held.
func (s *Stream) closeStreamLocked(staged bool) {
	if s.life.handOff() != nil {
		return
	}
	s.rx.flow.Or(flowShut)
	switch {
	case s.life.phase == dialing, s.life.phase == open && s.tls != nil && !s.tls.open && !s.tls.late:
		s.failLocked(net.ErrClosed, s.loop.OnLoop())
	case s.life.phase == open:
		s.life.staged = staged
		s.tx.finWant = s.tx.finWant || staged
		s.life.move(closing)
		s.scheduleLocked(s.loop.OnLoop())
	}
}

// closeWith is CloseInStages because of err, which is the peer's fault: OnClose gets err, whatever becomes of the queue. A
// Close that has just begun becomes one in stages. hurried makes the last stage short, for a peer that has had its time.
// A stream that has failed already delivers nothing more.
func (s *Stream) closeWith(err error, hurried bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.handOff() != nil {
		return
	}
	s.rx.flow.Or(flowShut)
	if s.life.phase != open && s.life.phase != closing || s.life.cause() != nil {
		return
	}
	s.life.needs().cause = err
	s.life.blamed, s.life.staged, s.tx.finWant = true, true, true
	s.life.hurried = hurried
	if s.life.phase == open {
		s.life.move(closing)
	}
	s.scheduleLocked(s.loop.OnLoop())
}

// CloseInStages is Close for a stream whose peer may still be sending: it sends what is queued, then FIN, and discards
// what comes until the peer finishes too, until nothing has come for 500 ms, or for 2 s in all; only then it closes. An
// immediate close would answer what the peer still sends with a reset, which destroys what the peer has not read yet;
// RFC 9112, 9.6. Any goroutine; it does not block.
func CloseInStages(s *Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeStreamLocked(true)
	return nil
}

// Abort drops what is queued and resets the connection: the peer of a TCP stream sees ECONNRESET. OnClose gets
// net.ErrClosed. No other callback follows but those that were promised: functions given to Post and WriteNotify. It
// returns at once, with nil. Any goroutine.
func (s *Stream) Abort() error { return s.AbortWith(net.ErrClosed) }

// AbortWith is Abort with a cause, which OnClose gets. A nil cause is net.ErrClosed.
func (s *Stream) AbortWith(cause error) error {
	if cause == nil {
		cause = net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abortLocked(cause, s.loop.OnLoop())
	return nil
}

// abortLocked ends the stream with err and a reset. mu is held.
func (s *Stream) abortLocked(err error, here bool) {
	if s.life.handOff() != nil {
		return // the connection is somebody else's
	}
	s.rx.flow.Or(flowShut)
	s.life.silent = true
	if s.life.phase < ending {
		s.life.reset = true
		s.life.blamed = false
		s.failLocked(err, here)
	}
}

// closer watches a stream that closes: that the peer goes on taking bytes, and in the last stage that it finishes.
type closer struct {
	timer  backend.Timer
	stream *Stream
	seen   uint64 // bytes that had been taken, or dropped in the last stage, when the watch looked last
	since  int64  // when it saw the last of them, on the loop's clock
	lasts  int64  // when the last stage began; 0: not yet
	whole  int64  // how long that may take, in nanoseconds
}

// watchClose begins to watch, or begins the last stage once everything is sent.
func (s *Stream) watchClose(sent bool) {
	c := s.seldom().closer
	if c == nil {
		c = &closer{stream: s, seen: s.taken(), since: s.loop.Clock()}
		c.timer.Fire = c.look
		s.needs().closer = c
		if s.opts.CloseTimeout > 0 {
			s.loop.StartTimer(&c.timer, s.opts.CloseTimeout/4)
		}
	}
	if sent && c.lasts == 0 {
		c.lasts, c.whole = s.loop.Clock(), int64(s.lastStage())
		if !s.isRelayed() { // else what came before goes to the other stream, also if nobody has taken this one over yet
			s.dropUnread()
		}
		c.seen, c.since = s.dropped(), c.lasts
		s.loop.StartTimer(&c.timer, silentStage/4)
	}
}

// lastStage is how long the last stage may take.
func (s *Stream) lastStage() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.hurried {
		return silentStage
	}
	return wholeStage
}

// taken is how many bytes the peer's kernel has, as far as this one knows.
func (s *Stream) taken() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tx.sent - uint64(s.loop.Sockets.Unsent(s.fd)) // of a Unix socket it may be more than that; what counts is a change
}

// dropped counts the bytes that a stream in its last stage has discarded.
func (s *Stream) dropped() uint64 { return s.seldom().discarded }

func (c *closer) look() {
	s, now := c.stream, c.stream.loop.Clock()
	if c.lasts != 0 {
		if n := s.dropped(); n != c.seen {
			c.seen, c.since = n, now
		}
		if now-c.since >= int64(silentStage) || now-c.lasts >= c.whole {
			s.endStages()
			return
		}
		s.loop.StartTimer(&c.timer, silentStage/4)
		return
	}
	if n := s.taken(); n != c.seen {
		c.seen, c.since = n, now
	}
	if now-c.since < int64(s.opts.CloseTimeout) {
		s.loop.StartTimer(&c.timer, s.opts.CloseTimeout/4)
		return
	}
	s.mu.Lock()
	s.life.reset = true // else the peer would take what it got for all there was
	s.life.blamed = false
	s.failLocked(os.ErrDeadlineExceeded, true)
	s.mu.Unlock()
}

// endStages gives up waiting for the peer's end.
func (s *Stream) endStages() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.phase == closing {
		s.life.move(ending)
		s.scheduleLocked(true)
	}
}
