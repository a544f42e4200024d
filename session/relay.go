package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// RelayOptions are the options of Relay. The zero value is right for most programs.
type RelayOptions struct {
	// OnDone is called once, when both streams have ended: on the loop of the one that ended last, as a callback of that
	// stream. err is nil if both peers had finished and all of it was sent, or if Close was called; otherwise it is what
	// ended the stream that failed first. Default nil: nobody is told.
	OnDone func(err error, stats RelayStats)
}

// RelayStats are the figures of a relay that has ended. With TLS they count plain bytes.
type RelayStats struct {
	FromA uint64 // bytes that came from the peer of a, and were given to b
	FromB uint64 // bytes that came from the peer of b, and were given to a
}

// Relay joins two streams: what comes from one goes to the other, both ways, in the memory that it came in; where much
// comes and both are plain, within the kernel, by splice(2) (not on Portable). They may be on different loops, be of
// different Transports, and have TLS or not. o may be nil.
//
// Relay takes the streams over. Their handlers are replaced, and get no OnData and no OnEOF any longer: at once where
// Relay is called on the stream's loop, otherwise as by PauseRead and a function given to Post. A stream that is still
// being connected is taken over behind OnOpen; if it never opens, its own handler gets OnClose, and OnDone the error.
// Nothing moves before both are taken over. Bytes that are unread then go first, and what was written before is in front
// of all that comes. A stream that was paused goes on. Nobody else may read from the streams, write to them, pause them or
// set their handlers any longer, and Detach refuses them; anybody may close or abort them, and set their timeouts.
//
//   - Half close: when the peer of one has finished, CloseWrite is called on the other, behind the last byte, and the
//     other direction goes on, whatever AllowHalfClose says. When both have finished, both are closed. Set a
//     HalfCloseTimeout or an IdleTimeout: a peer that has gone looks like one that has only finished.
//   - Back-pressure: while the queue of one is above its HighWater, the other does not read. So a direction holds at most
//     HighWater, ReadBufferLimit and 256 KiB.
//   - Fairness: what moves within the kernel may be 1 MiB each way in a turn, whatever TurnBudget says. The relays of a loop
//     share that, but each may always move 256 KiB.
//   - SIGPIPE: splice has no MSG_NOSIGNAL, so a Unix peer that has gone may raise it. Go ignores it, unless the program asks
//     for it by signal.Notify.
//   - Failure: if one fails, what it has received is sent to the peer of the other, which is then reset, so that its peer
//     does not take what it got for all there was. That waits for a peer that takes no byte for the CloseTimeout. A FIN
//     without the close_notify of TLS is such a failure, io.ErrUnexpectedEOF. If one is reset at this end, by Abort, by a
//     timeout or by the end of its loop, so is the other, at once; so is one that is still being connected.
//   - Files that come over a Unix socket are closed, whatever ReceiveFiles says.
//   - Close of one closes the other in order. Shutdown leaves a relay alone until its context ends, and then aborts it.
//
// The error says why nothing was done, and then both streams are as they were: a stream is nil, both are the same, one
// has been closed, also by CloseWrite, or has ended (net.ErrClosed), or is relayed already. After nil, OnDone is called,
// whatever happens. Any goroutine; it does not block.
func Relay(a, b *Stream, o *RelayOptions) error {
	switch {
	case a == nil || b == nil:
		return errors.New("tandem: relay: a stream is nil")
	case a == b:
		return errors.New("tandem: relay: both streams are the same")
	}
	r := &relay{}
	if o != nil {
		r.onDone = o.OnDone
	}
	r.a = relayEnd{relay: r, stream: a, to: &r.b}
	r.b = relayEnd{relay: r, stream: b, to: &r.a}
	if err := a.beginRelay(); err != nil {
		return fmt.Errorf("tandem: relay: the first stream: %w", err)
	}
	if err := b.beginRelay(); err != nil {
		a.cancelRelay()
		return fmt.Errorf("tandem: relay: the second stream: %w", err)
	}
	a.PauseRead() // the present handlers hear of no more bytes, nor of their end
	b.PauseRead()
	r.a.takeOver()
	r.b.takeOver()
	return nil
}

// errRelayed is why a stream cannot be given away: the other one would be left without it.
var errRelayed = fmt.Errorf("it is relayed: %w", syscall.EBUSY)

// beginRelay marks the stream as one of a relay, of which it can have one.
func (s *Stream) beginRelay() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.life.phase > open && !s.dialFailedLocked(), s.tx.finWant:
		return net.ErrClosed
	case s.relayed:
		return errors.New("it is relayed already")
	}
	s.relayed = true
	return nil
}

// dialFailedLocked reports whether a dial has ended the stream, and not its user. That may be before Connect has returned it,
// so Relay takes it, and OnDone gets the error.
func (s *Stream) dialFailedLocked() bool {
	return s.opts.dial != nil && !s.life.silent && s.life.cause() != net.ErrClosed
}

// cancelRelay takes the mark back, and does what the stream has not done because of it, unless another call of Relay has
// come between.
func (s *Stream) cancelRelay() {
	s.mu.Lock()
	s.relayed = false
	s.mu.Unlock()
	_ = s.Post(func() {
		if s.rx.eofTold && !s.opts.AllowHalfClose {
			s.closeUnlessRelayed()
		} else if s.seldom().undrained && !s.isRelayed() {
			s.drain()
		}
	})
}

// isRelayed reports whether the stream is one of a relay, or is about to be. Any goroutine.
func (s *Stream) isRelayed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relayed
}

// closeUnlessRelayed closes the stream, unless it is one of a relay, and reports whether it has.
func (s *Stream) closeUnlessRelayed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.relayed {
		s.closeStreamLocked(false)
	}
	return !s.relayed
}

// relay is two streams that are joined.
//
//	peer ──► a ── OnData: Take ─► WriteBuffer ──► b ──► peer
//	         ▲ PauseRead while b's queue is above HighWater, ResumeRead in b's OnWritable
type relay struct {
	a, b     relayEnd
	onDone   func(error, RelayStats)
	ready    atomic.Int32 // streams that were taken over
	finished atomic.Int32 // peers that have finished

	mu    sync.Mutex // guards what follows
	ended int        // streams that have ended
	err   error      // why the first of them has failed
}

// relayEnd is the handler of one of the two streams. It belongs to the stream's loop.
type relayEnd struct {
	relay  *relay
	stream *Stream
	to     *relayEnd     // the other one
	passed atomic.Uint64 // bytes that went to the other stream
	bulk   bool          // much comes at a time
	small  int           // how many times in a row little was forwarded
	failed error         // why the other stream has ended, before this one was taken over
	rest   *Buffer       // what the stream had received when it failed; it belongs to the other one's loop then
}

// takeOver makes the end the handler of its stream, now or soon. A stream that has ended meanwhile did not tell the relay,
// so tooLate does.
func (e *relayEnd) takeOver() {
	s := e.stream
	if s.loop.OnLoop() && s.opened {
		e.begin()
	} else if s.Post(e.begin) != nil {
		e.tooLate()
	}
}

// tooLate tells the relay of a stream that has ended before it could be taken over.
func (e *relayEnd) tooLate() {
	s := e.stream
	ended := func() { e.hasEnded(s.failure()) }
	if s.loop.Post(backend.TaskFunc(func() { s.call(relayEnded, ended) })) != nil { // the loop has ended, too
		ended()
	}
}

// begin makes the end the handler of its stream. Loop only.
func (e *relayEnd) begin() {
	s := e.stream
	if s.over { // it never opened
		e.hasEnded(s.failure())
		return
	}
	s.SetHandler(e)
	s.refuseFiles()
	s.dropFiles()
	s.relays = true
	s.rx.eofTold = false // if its peer has finished already, the other one's has to be told
	s.PauseRead()
	if s.loop.forwards() && e.to.stream.loop.forwards() && s.tls == nil {
		s.needs().forwarder, s.sock.Forwards = e, true
	}
	if e.failed != nil {
		e.endAfterRest(e.failed)
	} else if e.relay.ready.Add(1) == 2 {
		s.ResumeRead()
		e.to.stream.ResumeRead()
	}
}

// joined reports whether both streams have been taken over.
func (r *relay) joined() bool { return r.ready.Load() == 2 }

// OnOpen implements Handler. The stream was open before it was taken over.
func (*relayEnd) OnOpen(*Stream) {}

// OnData implements Handler.
func (e *relayEnd) OnData(s *Stream) {
	to := e.to.stream
	e.bulk = e.bulk || s.rx.turnBytes >= largePiece
	for s.rx.in.len() > 0 {
		n := min(s.rx.in.len(), to.room())
		if n == 0 {
			e.waitForRoom()
			return
		}
		if !e.pass(n) {
			return
		}
	}
	if e.bulk && s.sock.Forwards && to.Queued() > 0 {
		e.waitForRoom() // then it goes on without copying
		return
	}
	if !to.Writable() {
		s.PauseRead()
		if to.Writable() { // it was, before the pause began: there may be no OnWritable
			s.ResumeRead()
		}
	}
}

// pass gives n bytes to the other stream, and reports whether that took them.
func (e *relayEnd) pass(n int) bool {
	to := e.to.stream
	b, err := e.stream.Take(n)
	if err != nil {
		return false
	}
	if err = to.writeRelayed(b); err != nil {
		b.Release()
		if !errors.Is(err, net.ErrClosed) || !to.isEnding() {
			_ = to.AbortWith(fmt.Errorf("tandem: relay: %w", err)) // somebody else has written to it, or called CloseWrite
		}
		return false
	}
	e.passed.Add(uint64(n))
	return true
}

// waitForRoom pauses the stream until the other has sent all that it has queued: its WriteBufferLimit is so small that it
// takes nothing more, although its queue may be below HighWater.
func (e *relayEnd) waitForRoom() {
	s := e.stream
	s.PauseRead()
	if e.bulk && s.sock.Forwards {
		s.rx.pausedWithData = true // what comes meanwhile stays in the kernel, and can be forwarded then
		s.scheduleTurnEnd()
	}
	_ = e.to.stream.WriteNotify(nil, func(error) { s.ResumeRead() }) // an error is the end of it, which its OnClose tells
}

// OnWritable implements Handler: the other stream may go on.
func (e *relayEnd) OnWritable(*Stream) {
	if e.relay.joined() {
		e.to.stream.ResumeRead()
	}
}

// OnEOF implements Handler.
func (e *relayEnd) OnEOF(s *Stream) {
	if s.truncated() {
		s.failed(io.ErrUnexpectedEOF)
		return
	}
	_ = e.to.stream.CloseWrite()
	if e.relay.finished.Add(1) == 2 {
		_ = e.to.stream.Close()
		_ = s.Close()
	}
}

// OnDrain implements Drainer: a relay ends when its peers do.
func (*relayEnd) OnDrain(*Stream) {}

// OnClose implements Handler. What the stream has received in a pause is kept for the other one.
func (e *relayEnd) OnClose(s *Stream, err error) {
	if s.rx.in.len() > 0 && err != nil {
		e.rest, _ = s.Take(-1)
	}
	e.hasEnded(err)
}

// hasEnded follows the end of the stream: it ends the other one, or the relay.
func (e *relayEnd) hasEnded(err error) {
	r := e.relay
	r.mu.Lock()
	r.ended++
	last := r.ended == 2
	if r.err == nil {
		r.err = err
	}
	err = r.err
	r.mu.Unlock()
	if !last {
		e.to.endBehind(e.stream, err)
		return
	}
	r.a.drop()
	r.b.drop()
	if r.onDone != nil {
		r.onDone(err, RelayStats{FromA: r.a.passed.Load(), FromB: r.b.passed.Load()})
	}
}

// endBehind ends the stream because the other one, failed, has ended with err. Any goroutine.
func (e *relayEnd) endBehind(failed *Stream, err error) {
	s := e.stream
	switch {
	case err == nil:
		_ = s.Close()
	case failed.wasReset() || s.isDialing():
		_ = s.AbortWith(err)
	default:
		_ = s.Post(func() { e.endAfterRest(err) }) // else it has ended, too
	}
}
