package session

import (
	"io"
	"net"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// ErrWouldBlock is returned by Stream.Read when nothing is unread and more may come. It is a net.Error whose Timeout and
// Temporary are true.
var ErrWouldBlock error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "tandem: nothing to read now" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// Received implements backend.Events: p is lent until it returns.
func (e *streamEvents) Received(p []byte) {
	s := (*Stream)(e)
	s.loop.Count[backend.BytesIn] += uint64(len(p))
	s.loop.Count[backend.Reads]++
	s.came()
	if s.loop.gatherSize >= gatherLimit {
		s.loop.flushGathered()
	}
	if s.in.mem == nil && s.deliverable() {
		s.turnBytes += len(p)
		s.in.lend(p)
		s.callData()
	} else if !s.refuses() {
		s.in.push(p)
		s.unseen += len(p)
		s.held = s.flow.Load()&flowPaused != 0
		s.deliver()
		if s.unseen > 0 {
			s.mark()
		}
	} else {
		s.discarded += uint64(len(p))
		s.loop.Count[backend.BytesDropped] += uint64(len(p))
	}
	if s.in.mem != nil || s.flow.Load() != 0 {
		s.controlReceive()
	}
}

// refuses reports whether bytes are not wanted any longer: the user has ended the stream.
func (s *Stream) refuses() bool { return s.flow.Load()&flowShut != 0 }

// stops are the bits of flow for which nothing may be delivered now.
func (s *Stream) stops() uint32 {
	stops := s.flow.Load() &^ flowResumed
	if stops&flowBlocked != 0 && (s.opts.ReadWhileBlocked || s.draining) {
		stops &^= flowBlocked
	}
	return stops
}

// turnLimit is how much time the callbacks for one stream's data may take in a turn before others have their share.
const turnLimit = int64(time.Millisecond)

// deliverable reports whether OnData may be called now, for what has come or is waiting.
func (s *Stream) deliverable() bool {
	if s.stops() != 0 || !s.running {
		return false
	}
	s.beginTurn()
	return s.turnReads < readsPerTurn && s.turnBytes < s.opts.TurnBudget && s.turnTime < turnLimit
}

// beginTurn gives the stream a new share if the turn is a new one.
func (s *Stream) beginTurn() {
	if turn := s.loop.Turn(); s.turn != turn {
		s.turn, s.turnReads, s.turnBytes, s.turnTime = turn, 0, 0, 0
	}
}

// HasShare implements backend.Events: it reports false if a delivery has to wait for the next turn, and only then.
func (e *streamEvents) HasShare() bool {
	s := (*Stream)(e)
	return s.deliverable() || s.flow.Load()&^flowResumed != 0 || !s.running
}

// redeliver has OnData called for the bytes that wait, although it has seen them, as soon as it may be. Loop only.
func (s *Stream) redeliver() {
	s.again = true
	s.mark()
}

// waiting reports whether OnData has to be called: bytes wait that count as new.
func (s *Stream) waiting() bool {
	return s.in.len() > 0 && (s.unseen > 0 || s.again || s.flow.Load()&flowResumed != 0)
}

// deliver calls OnData for bytes that wait and count as new, and OnEOF behind the last of them.
func (s *Stream) deliver() {
	resumed := s.again || s.flow.Load()&flowResumed != 0
	if s.unseen == 0 && !resumed && !s.eof {
		return
	}
	if s.in.len() == 0 {
		s.unseen = 0
	}
	if s.deliverable() {
		if resumed {
			if s.flow.And(^flowResumed)&flowResumed != 0 {
				s.goesOn()
			}
			s.held, s.again = false, false
		}
		if s.unseen > 0 || resumed && s.in.len() > 0 {
			s.turnBytes += s.unseen
			s.unseen = 0
			s.callData()
			s.in.tidy()
		}
	} else if s.waiting() && s.stops() == 0 {
		s.mark() // its share of this turn is used up
	}
	s.deliverEnd()
}

// goesOn follows that the stream reads on after a pause, or when its queue has emptied.
func (s *Stream) goesOn() {
	if s.decoder != nil {
		s.decoder.goesOn()
	}
}

// deliverEnd calls OnEOF, if the peer has finished and everything was delivered.
func (s *Stream) deliverEnd() {
	due := func() bool {
		return s.eof && !s.eofTold && !s.waiting() && s.flow.Load()&(flowPaused|flowShut|flowDetached) == 0 && !s.draining
	}
	if due() && s.decoder != nil {
		s.callFinal()
	}
	if !due() {
		return
	}
	s.eofTold = true
	s.callEOF()
	if !s.opts.AllowHalfClose {
		_ = s.Close()
	} else {
		s.halfClosed()
	}
}

// ReceiveEnded implements backend.Events.
func (e *streamEvents) ReceiveEnded(err error) {
	s := (*Stream)(e)
	s.receiving = false
	s.rxDone = true
	if err != io.EOF {
		s.broken("read", err)
		return
	}
	s.mu.Lock()
	failed := s.phase >= ending
	s.mu.Unlock()
	if failed {
		return // the error was taken by a send of another goroutine; what looks like an end is what it left
	}
	s.eof = true
	s.deliver()
	s.mark()
}

// Broken implements backend.Events: nothing is being received, and the connection has an error or a hang-up. A stream
// that was paused by its user learns of it now; one that stopped by itself finds out when it goes on, behind the bytes
// that are waiting.
func (e *streamEvents) Broken() {
	s := (*Stream)(e)
	if s.flow.Load()&(flowPaused|flowShut) == 0 && !s.rxDone {
		return
	}
	if err := s.loop.Sockets.TakeError(s.sock.Descriptor); err != nil {
		s.broken("read", err)
	}
}

// controlReceive switches receiving on and off as the stream's state wants it.
func (s *Stream) controlReceive() {
	s.account()
	unread := s.in.len()
	switch {
	case unread >= max(s.opts.ReadBufferLimit, s.in.wanted):
		s.full = true
		s.watchStuck()
	case unread < max((s.opts.ReadBufferLimit+1)/2, s.in.wanted):
		s.full = false
	}
	on := s.running && !s.rxDone && !s.full && !s.tight && s.wants()
	if on == s.receiving {
		return
	}
	s.mu.Lock()
	p, staged := s.phase, s.staged
	s.mu.Unlock()
	if p == open || p == closing && (staged || !on) {
		s.receiving = on
		s.loop.Driver.Receive(&s.sock, on)
	}
}

// wants reports whether the stream's flow lets it receive. In the last stage of its end it receives what it drops.
func (s *Stream) wants() bool {
	flow := s.flow.Load()
	switch {
	case flow&flowShut != 0:
		return s.closer != nil && s.closer.lasts != 0
	case flow&flowDetached != 0, s.held && flow&flowPaused != 0:
		return false
	}
	return flow&flowBlocked == 0 || s.opts.ReadWhileBlocked
}

// drain delivers what the kernel still has of a connection that failed, bytes that came before the failure: within the
// turn's budget, in as many turns as that takes. Then the stream ends. The descriptor is the stream's alone.
func (s *Stream) drain() {
	s.deliver()
	for !s.drained && s.deliverable() && s.in.len() < s.opts.ReadBufferLimit {
		s.receiveRest()
	}
	switch {
	case s.refuses(), s.stops() != 0, s.drained && !s.waiting(), s.in.len() >= s.opts.ReadBufferLimit && !s.waiting():
		for !s.drained && !s.refuses() && s.in.len() < s.opts.ReadBufferLimit {
			s.receiveRest() // for OnClose, which may read it
		}
		s.finish()
	default:
		s.mark()
	}
}

// receiveRest takes a piece of what the kernel still has.
func (s *Stream) receiveRest() {
	scratch := s.loop.scratch()
	n, err := s.loop.Sockets.TryReceive(s.sock.Descriptor, scratch)
	if n <= 0 || err != nil {
		s.drained = true
		return
	}
	s.events().Received(scratch[:n:n])
}

// Buffered returns how many bytes are received and unread. Loop only.
func (s *Stream) Buffered() int { return s.in.len() }

// Peek returns the next n unread bytes without reading them, all of them if n is -1. If there are fewer than n it
// returns those, and io.ErrShortBuffer. The memory is the loop's: it is valid until the callback returns, or until the
// next call that reads from this stream. Loop only.
func (s *Stream) Peek(n int) ([]byte, error) {
	p := s.in.bytes()
	switch {
	case n > len(p):
		return p, s.endOr(io.ErrShortBuffer)
	case n >= 0:
		p = p[:n:n]
	}
	return p, nil
}

// endOr returns net.ErrClosed after the end, and err before it.
func (s *Stream) endOr(err error) error {
	if s.index < 0 && s.in.len() == 0 && s.opened {
		return net.ErrClosed
	}
	return err
}

// Next is Peek, and reads the bytes.
func (s *Stream) Next(n int) ([]byte, error) {
	p, err := s.Peek(n)
	s.consume(len(p))
	return p, err
}

// Discard reads n bytes and drops them, all of them if n is -1. If there are fewer than n it drops those, and returns
// io.ErrShortBuffer. Loop only.
func (s *Stream) Discard(n int) (int, error) {
	p, err := s.Next(n)
	return len(p), err
}

// Read copies unread bytes into p, as io.Reader says. It never waits: with nothing unread it returns 0 and
// ErrWouldBlock, or io.EOF when the peer has finished, or net.ErrClosed after the end. Loop only.
func (s *Stream) Read(p []byte) (int, error) {
	n := copy(p, s.in.bytes())
	if n == 0 && len(p) > 0 {
		if s.eof {
			return 0, s.endOr(io.EOF)
		}
		return 0, s.endOr(ErrWouldBlock)
	}
	s.consume(n)
	return n, nil
}

// WriteTo writes all unread bytes to w, and reads as many as w took. Loop only; w must not block.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	p := s.in.bytes()
	if len(p) == 0 {
		return 0, nil
	}
	n, err := w.Write(p)
	if n < 0 || n > len(p) {
		return 0, io.ErrShortWrite
	}
	s.consume(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return int64(n), err
}

// Take reads n bytes, all of them if n is -1, and hands their memory over: it is the caller's until Release or
// WriteBuffer. Where it is worth it, nothing is copied. If there are fewer than n bytes it takes nothing and returns
// io.ErrShortBuffer. Loop only.
func (s *Stream) Take(n int) (*Buffer, error) {
	if n < 0 {
		n = s.in.len()
	}
	if n > s.in.len() {
		return nil, s.endOr(io.ErrShortBuffer)
	}
	keep := s.loop.Driver.Keep
	if s.draining {
		keep = func() func() { return nil } // the bytes are in the loop's scratch memory, not in the driver's
	}
	b := s.in.take(n, keep)
	s.consumed(n)
	return b, nil
}

func (s *Stream) consume(n int) {
	s.in.consume(n)
	s.consumed(n)
}

// consumed accounts for n bytes that were read, which may let the stream receive again.
func (s *Stream) consumed(n int) {
	s.read += uint64(n)
	s.loop.Count[backend.BytesDelivered] += uint64(n)
	if s.full && s.in.len() < (s.opts.ReadBufferLimit+1)/2 || s.counted > 0 {
		s.mark()
	}
}

// PauseRead stops OnData until ResumeRead. What the kernel has already handed over is kept. A call of OnData that is
// running is not waited for. Any goroutine; it does not block.
func (s *Stream) PauseRead() { s.flow.Or(flowPaused) }

// ResumeRead takes PauseRead back. If bytes are waiting, also such that OnData has seen, it is called again. Any
// goroutine; it does not block.
func (s *Stream) ResumeRead() {
	for {
		old := s.flow.Load()
		if old&flowPaused == 0 {
			return
		}
		if s.flow.CompareAndSwap(old, old&^flowPaused|flowResumed) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase < ending {
		s.markLocked(s.loop.Here())
	}
}
