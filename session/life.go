package session

import (
	"net"

	"github.com/tandem-io/tandem/backend"
)

// phase is how far a stream's life has come.
//
//	dialing ──► open ──► closing ──► ending ──► releasing ──► closed
//	   │          ├────► detaching ────────────────▲            ▲
//	   └──────────┴─────────────────────▲ Abort, failure        │
//	                            a start that failed ────────────┘
type phase uint8

const (
	dialing   phase = iota // there is no connection yet
	open                   // OnOpen ran or is running
	closing                // Close was called: the queue goes out, nothing is delivered
	detaching              // Detach was called: the loop has to tell the driver
	ending                 // over: the loop has to tell the driver
	releasing              // the driver was told; the kernel may still use memory and descriptor
	closed                 // the descriptor is closed, OnClose ran or is running
)

// moves are the legal moves of a phase.
var moves = [...][]phase{
	dialing:   {open, ending},
	open:      {closing, detaching, ending},
	closing:   {ending},
	detaching: {releasing},
	ending:    {releasing, closed},
	releasing: {closed},
	closed:    nil,
}

// life is how far a stream has come, and how it ends. The stream's mu guards it.
type life struct {
	phase   phase
	reset   bool     // end with a reset
	silent  bool     // Abort was called, perhaps too late to end anything: no timer runs
	blamed  bool     // cause is the peer's fault, and the stream closes in order
	staged  bool     // close in stages: FIN, then wait for the peer's end
	hurried bool     // not for long: the peer had its time
	apart   *parting // nil: nothing
}

// parting is what concerns the end of a stream, and who uses its descriptor beyond that: most have none of it while they
// live. The stream's mu guards it.
type parting struct {
	cause   error              // what OnClose will be told
	handOff *detached          // Detach was called
	pins    int                // calls that use the descriptor without the lock
	orphan  backend.Descriptor // the stream has ended meanwhile: the last of them closes this
	burial  backend.Closing    // how
}

// needs is the parting, for writing.
func (l *life) needs() *parting {
	if l.apart == nil {
		l.apart = &parting{}
	}
	return l.apart
}

// cause is what OnClose will be told.
func (l *life) cause() error {
	if l.apart == nil {
		return nil
	}
	return l.apart.cause
}

// handOff is the Conn of Detach, or nil.
func (l *life) handOff() *detached {
	if l.apart == nil {
		return nil
	}
	return l.apart.handOff
}

// move is the one place where a phase changes.
func (l *life) move(to phase) {
	for _, legal := range moves[l.phase] {
		if legal == to {
			l.phase = to
			return
		}
	}
	panic("tandem: a stream cannot go from phase " + l.phase.String() + " to " + to.String())
}

// end moves on to ending, and keeps why unless there is a cause already.
func (l *life) end(cause error) {
	l.move(ending)
	if cause != nil && l.cause() == nil {
		l.needs().cause = cause
	}
}

// failed reports whether the stream ends because its connection has failed, so that what the kernel still has of it is
// delivered.
func (l *life) failed() bool { return l.cause() != nil && !l.reset && !l.blamed }

// String names a phase.
func (p phase) String() string {
	return [...]string{"dialing", "open", "closing", "detaching", "ending", "releasing", "closed"}[p]
}

// progress moves the stream towards its end, as far as it can go now.
func (s *Stream) progress() {
	if s.tls != nil {
		s.tls.closeNotify()
	}
	s.mu.Lock()
	drained := s.drainedLocked()
	if s.tls != nil && !s.tls.open && s.life.phase == open {
		drained = false // the handshake comes first, and close_notify
	}
	fin := s.tx.finWant && !s.tx.finSent && drained && (s.life.phase == open || s.life.phase == closing && s.life.staged)
	if fin {
		s.tx.finSent = true
		s.loop.Count[backend.SystemCalls]++
		_ = s.loop.Sockets.ShutdownWrite(s.fd) // fails only if the connection has, which a receive will tell
	}
	if s.life.phase == closing && drained && (!s.life.staged || s.rx.eof || s.rx.done) {
		s.life.move(ending)
	}
	p, sealing := s.life.phase, s.tls != nil && s.tls.sealing > 0
	s.mu.Unlock()
	if fin && p == open {
		s.halfClosed()
	}
	switch {
	case p == closing:
		s.watchClose(drained)
	case p == ending, p == detaching && !sealing: // else the write that is being encrypted comes first
		s.release()
	}
}

// failed ends the stream with err, unless it has ended already or its connection was given away. What is queued is
// dropped. Any goroutine.
func (s *Stream) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.handOff() == nil {
		s.failLocked(err, s.loop.OnLoop())
	}
}

// failLocked is failed, for a caller that holds mu.
func (s *Stream) failLocked(err error, here bool) {
	switch {
	case s.life.handOff() != nil && s.life.phase < closed: // the Conn tells it, behind what has come before
		s.life.handOff().fail(err)
		return
	case s.life.phase >= ending:
		return
	}
	s.life.end(err)
	s.scheduleLocked(here)
}

// broken ends the stream because the kernel says that the connection has failed, in an operation such as "read".
func (s *Stream) broken(op string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.brokenLocked(op, err, s.loop.OnLoop())
}

// brokenLocked is broken, for a caller that holds mu. A stream that closes, and has only its close_notify left to send,
// has lost nothing.
func (s *Stream) brokenLocked(op string, err error, here bool) {
	if s.life.phase == closing && s.life.cause() == nil && s.tls != nil && s.tls.saidAllLocked() {
		s.life.move(ending)
		s.scheduleLocked(here)
		return
	}
	if s.tls != nil && !s.tls.open {
		s.failLocked(s.tls.lostLocked(op, err), here)
		return
	}
	s.failLocked(s.opErrorLocked(op, err), here)
}

// opError says which operation failed on which connection, as those of package net do. Any goroutine, without mu.
func (s *Stream) opError(op string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opErrorLocked(op, err)
}

func (s *Stream) opErrorLocked(op string, err error) error {
	local, remote := s.ends.Local(), s.ends.Remote()
	e := &net.OpError{Op: op, Net: local.Network(), Source: local.NetAddr(), Addr: remote.NetAddr(), Err: backend.CallError(op, err)}
	if local.Kind == backend.NoAddress {
		e.Net = remote.Network()
	}
	return e
}

// release tells the driver to let go of the socket.
func (s *Stream) release() {
	s.mu.Lock()
	s.life.move(releasing)
	attached := s.fd.Valid()
	d := s.opts.dial
	s.mu.Unlock()
	s.rx.receiving = false
	s.stopTimers()
	switch {
	case attached:
		s.loop.Driver.Release(&s.sock)
	case d != nil:
		d.cancel()
	case s.adopting: // adopt finishes
	default:
		s.finish()
	}
}

// Released implements backend.Events: the descriptor is the stream's alone.
func (e *streamEvents) Released() {
	s := (*Stream)(e)
	s.mu.Lock()
	failed := s.life.failed()
	off := s.life.handOff()
	s.mu.Unlock()
	switch {
	case off != nil:
		s.handOver()
	case failed && !s.rx.refuses():
		s.rx.draining = true
		s.rx.drained = s.rx.eof || s.rx.done
		s.readRemaining()
	default:
		s.finish()
	}
}

// finish closes the descriptor and tells the user. It is called once, by whoever the phase says owns the end: the stream
// itself; while it is being dialled, its dial; when its loop has died, the loop's funeral.
//
// If a callback ends the goroutine, and so the loop, the funeral calls finish again, for what is left.
func (s *Stream) finish() {
	s.mu.Lock()
	if s.life.phase != closed {
		s.life.move(closed)
		s.rx.flow.Or(flowShut)
		s.closeLocked()
		s.dropQueueLocked()
	}
	err, d := s.life.cause(), s.opts.dial
	s.mu.Unlock()
	if s.over {
		return
	}
	s.rx.draining = false
	if s.tls != nil {
		s.tls.gone(err)
	}
	s.stopTimers()
	lost := err
	if lost == nil {
		lost = net.ErrClosed
	}
	s.tellDue()
	s.tellLost(lost)
	if s.opened {
		s.runAllPosts()
	}
	s.over = true
	s.stopTimers()
	s.loop.remove(s)
	s.loop.unpick()
	if s.opened {
		s.loop.Count[backend.Closed]++
	}
	defer s.finished() // also if OnClose ends the goroutine
	switch {
	case d != nil && d.waited:
		d.tell(err) // Dial returns the error, and there never was a stream
	case s.opts.from != nil && !s.opened: // nobody has heard of it
	default:
		s.callClose(err)
	}
}

// finished gives back what the stream had, after OnClose.
func (s *Stream) finished() {
	s.dropUnread()
	s.dropFiles()
	s.account()
	if from := s.opts.from; from != nil {
		from.ended(s.seldom().source)
	}
	s.loop.release()
	s.runAllPosts() // of a stream that never opened
}

// closeUnopened closes a connection that has come to a stream which does not open: with a reset if that was asked for, or
// if the peer would take nothing for all there was.
func (s *Stream) closeUnopened(fd backend.Descriptor) {
	s.mu.Lock()
	how := backend.Closing{Reset: s.life.reset || s.tx.out.len() > 0}
	s.mu.Unlock()
	s.loop.Sockets.CloseSocket(fd, how)
}

// closeLocked closes the descriptor as the stream has ended: with a reset if the peer would take what it got for all
// there was, or without leaving bytes behind that would cause one. No other goroutine is about to send to it, because mu
// is held; one that has it pinned closes it in unpin.
func (s *Stream) closeLocked() {
	if !s.fd.Valid() {
		return
	}
	fd, how := s.fd, backend.Closing{}
	s.fd, s.sock.Descriptor = backend.Descriptor{}, backend.Descriptor{}
	s.loop.Count[backend.SystemCalls]++
	switch {
	case s.life.handOff() != nil:
	case s.life.reset || s.tx.out.len() > 0:
		s.loop.Count[backend.SystemCalls]++
		how.Reset = true
	case (s.life.cause() == nil || s.life.blamed) && !s.rx.done:
		s.loop.Count[backend.SystemCalls]++
		how.Discard = s.opts.ReadBufferLimit
	}
	if apart := s.life.apart; apart != nil && apart.pins > 0 {
		apart.orphan, apart.burial = fd, how
		return
	}
	s.loop.Sockets.CloseSocket(fd, how)
}
