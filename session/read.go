package session

import (
	"io"
	"net"

	"github.com/tandem-io/tandem/backend"
)

// ErrWouldBlock is returned by Stream.Read when nothing is unread and more may come. It is a net.Error whose Timeout and
// Temporary are true.
var ErrWouldBlock error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "tandem: nothing to read now" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// Buffered returns how many bytes are received and unread. Loop only.
func (s *Stream) Buffered() int {
	s.onLoopOnly("Buffered")
	return s.rx.in.len()
}

// Peek returns the next n unread bytes without reading them, all of them if n is -1. If there are fewer than n it
// returns those, and io.ErrShortBuffer. The memory is the loop's: it is valid until the callback returns, or until the
// next call that reads from this stream. Loop only.
func (s *Stream) Peek(n int) ([]byte, error) {
	s.onLoopOnly("Peek")
	p := s.rx.in.bytes()
	if backend.Poisoning() && len(p) > 0 { // with nothing to lend, the loop may be over, and any goroutine here
		s.loop.lend(s)
	}
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
	if s.index < 0 && s.rx.in.len() == 0 && s.opened {
		return net.ErrClosed
	}
	return err
}

// Next is Peek, and reads the bytes.
func (s *Stream) Next(n int) ([]byte, error) {
	s.onLoopOnly("Next")
	p, err := s.Peek(n)
	s.consume(len(p))
	return p, err
}

// Discard reads n bytes and drops them, all of them if n is -1. If there are fewer than n it drops those, and returns
// io.ErrShortBuffer. Loop only.
func (s *Stream) Discard(n int) (int, error) {
	s.onLoopOnly("Discard")
	p, err := s.Next(n)
	return len(p), err
}

// Read copies unread bytes into p, as io.Reader says. It never waits: with nothing unread it returns 0 and
// ErrWouldBlock, or io.EOF when the peer has finished, or net.ErrClosed after the end. Loop only.
func (s *Stream) Read(p []byte) (int, error) {
	s.onLoopOnly("Read")
	n := copy(p, s.rx.in.bytes())
	if n == 0 && len(p) > 0 {
		if s.rx.eof {
			return 0, s.endOr(io.EOF)
		}
		return 0, s.endOr(ErrWouldBlock)
	}
	s.consume(n)
	return n, nil
}

// WriteTo writes all unread bytes to w, and reads as many as w took. Loop only; w must not block.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	s.onLoopOnly("WriteTo")
	p := s.rx.in.bytes()
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
	s.onLoopOnly("Take")
	if n < 0 {
		n = s.rx.in.len()
	}
	if n > s.rx.in.len() {
		return nil, s.endOr(io.ErrShortBuffer)
	}
	if s.rx.in == nil { // n is 0, and the loop may be over
		mem := s.loop.Pool.Get(0)
		return newShared(&s.loop.Pool, mem).buffer(mem[:0]), nil
	}
	keep := s.loop.Driver.Keep
	if s.rx.draining || s.tls != nil {
		keep = func() func() { return nil } // the bytes are in scratch memory of the loop, not in the driver's
	}
	b := s.rx.in.take(n, keep)
	s.consumed(n)
	return b, nil
}

func (s *Stream) consume(n int) {
	s.rx.in.consume(n)
	s.consumed(n)
}

// consumed accounts for n bytes that were read, which may let the stream receive again.
func (s *Stream) consumed(n int) {
	if n == 0 { // perhaps because the stream has ended, and the loop with it: then any goroutine may be here
		return
	}
	s.rx.read += uint64(n)
	s.loop.Count[backend.BytesDelivered] += uint64(n)
	in := s.rx.in
	switch {
	case s.rx.full && in.len() < (s.opts.ReadBufferLimit+1)/2, s.own != nil && s.own.counted > 0:
		s.scheduleTurnEnd()
	case in != nil && in.lent == nil && in.len() == 0: // the memory can be given back
		s.scheduleTurnEnd()
	}
}

// PauseRead stops OnData until ResumeRead. What the kernel has already handed over is kept. A call of OnData that is
// running is not waited for. Any goroutine; it does not block.
func (s *Stream) PauseRead() { s.rx.flow.Or(flowPaused) }

// ResumeRead takes PauseRead back. If bytes are waiting, also such that OnData has seen, it is called again. Any
// goroutine; it does not block.
func (s *Stream) ResumeRead() {
	for {
		old := s.rx.flow.Load()
		if old&flowPaused == 0 {
			return
		}
		if s.rx.flow.CompareAndSwap(old, old&^flowPaused|flowResumed) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.phase < ending {
		s.scheduleLocked(s.loop.OnLoop())
	}
}
