package session

import (
	"math"
	"net"

	"github.com/tandem-io/tandem/backend"
)

// Write queues p and never blocks: it takes all of p, or nothing and returns ErrWriteBufferFull if the queue would grow
// above WriteBufferLimit, or net.ErrClosed. A p larger than that limit is taken if the queue is empty. p is the
// caller's again when Write returns.
//
// On the stream's loop the bytes go out when the turn ends, in one piece with all others of that turn; or when 64 KiB
// have gathered. From any other goroutine, if nothing is queued, they go to the kernel before Write returns. The bytes
// of one call stay together.
func (s *Stream) Write(p []byte) (int, error) {
	here := s.loop.OnLoop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tls != nil {
		if err := s.tls.writeLocked(here, p, nil); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if err := s.admitLocked(len(p)); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if n := s.sendNowLocked(here, p); n < len(p) {
		s.enqueueLocked(here, p[n:])
	}
	return len(p), nil
}

// WritePart is Stream.Write for as much of p as the kernel takes at once or fits below HighWater: for layers that hold
// back what does not fit, instead of queueing all of it. It returns how many bytes were taken. The error says why the
// stream has ended. Any goroutine; it does not block.
func WritePart(s *Stream, p []byte) (int, error) {
	here := s.loop.OnLoop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusesLocked() {
		return 0, s.causeOr(net.ErrClosed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if s.tls != nil {
		return s.tls.partLocked(here, p)
	}
	n := s.sendNowLocked(here, p)
	if s.life.phase > open {
		return 0, s.causeOr(net.ErrClosed)
	}
	room := max(s.opts.HighWater-s.tx.out.len(), 0)
	if k := min(len(p)-n, room); k > 0 {
		s.enqueueLocked(here, p[n:n+k])
		n += k
	}
	s.tx.accepted += uint64(n)
	return n, nil
}

// TellWritable has OnWritable called, once, when the queue is below LowWater and shorter than now, also if it has never been
// above HighWater: for a layer that waits for room after WritePart did not take all. Any goroutine; it does not block.
func TellWritable(s *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.phase == open && s.tx.wanted == 0 {
		s.tx.wanted = int32(max(1, min(s.queuedBytesLocked(), s.opts.LowWater, math.MaxInt32)))
		s.scheduleLocked(s.loop.OnLoop())
	}
}

// causeOr returns what ended the stream, or err if nothing has. mu is held.
func (s *Stream) causeOr(err error) error {
	if cause := s.life.cause(); cause != nil {
		return cause
	}
	return err
}

// Writev is Write for several slices, taken together. The slices and bufs itself are not changed, and are the caller's
// again when Writev returns.
func (s *Stream) Writev(bufs net.Buffers) (int64, error) {
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	here := s.loop.OnLoop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tls != nil {
		if err := s.tls.writevLocked(here, bufs, total); err != nil {
			return 0, err
		}
		return int64(total), nil
	}
	if err := s.admitLocked(total); err != nil {
		return 0, err
	}
	sent := 0
	if !here && total > 0 && s.idleLocked() && len(bufs) <= backend.MaxVector {
		sent = s.directLocked(s.trySendVector(bufs))
	}
	if sent < total {
		skip := sent
		for _, b := range bufs {
			k := min(skip, len(b))
			skip -= k
			s.pushLocked(here, b[k:])
		}
		s.queuedLocked(here, total-sent)
	}
	return int64(total), nil
}

// WriteBuffer is Write for a Buffer of this Transport, whose memory goes to the kernel without a copy. If it returns
// nil the stream owns the Buffer and releases it; otherwise it is still the caller's.
func (s *Stream) WriteBuffer(b *Buffer) error {
	if b == nil || b.memory == nil {
		return net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := len(b.bytes)
	if s.tls != nil {
		size = sealedSize(size)
	}
	if err := s.mayWriteLocked(size); err != nil {
		return err
	}
	return s.takeBufferLocked(b)
}

// takeBufferLocked is WriteBuffer without a limit. The stream is open. mu is held.
func (s *Stream) takeBufferLocked(b *Buffer) error {
	here := s.loop.OnLoop()
	if s.tls != nil {
		err := s.tls.takeLocked(here, b.bytes, nil)
		if err == nil {
			b.Release()
		}
		return err
	}
	s.tx.accepted += uint64(len(b.bytes))
	p, m := b.bytes, b.memory
	b.bytes, b.memory = nil, nil
	p = p[s.sendNowLocked(here, p):]
	if len(p) == 0 {
		m.end(p)
		return nil
	}
	s.queueLocked(here).pushShared(p, m)
	s.queuedLocked(here, len(p))
	return nil
}

// WriteNotify is Write, and calls fn once, on the loop: with nil when the kernel has taken every byte of p, or with the
// error that ended the stream before that. If WriteNotify returns an error, fn is not called.
func (s *Stream) WriteNotify(p []byte, fn func(error)) error {
	if fn == nil {
		return errNoFunction
	}
	here := s.loop.OnLoop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tls != nil {
		return s.tls.writeLocked(here, p, fn)
	}
	if err := s.admitLocked(len(p)); err != nil {
		return err
	}
	n := s.sendNowLocked(here, p)
	s.tx.notify.push(notification{end: s.tx.accepted, fn: fn})
	s.enqueueLocked(here, p[n:]) // also if nothing is left: the loop has to call fn
	return nil
}

// Flush hands the queue to the kernel now, as much as it takes without waiting, instead of at the end of the turn.
func (s *Stream) Flush() error {
	here := s.loop.OnLoop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.phase > closing {
		return net.ErrClosed
	}
	if here {
		s.flushLocked()
	} else if s.tx.out.len() > 0 && !s.tx.sending {
		s.scheduleLocked(false)
	}
	return nil
}

// Queued returns how many bytes have been written and not yet been taken by the kernel: with TLS encrypted bytes, and what
// waits for the handshake. Any goroutine.
func (s *Stream) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queuedBytesLocked()
}

// Writable reports whether the queue is in bounds: it is not from the moment on that the queue is above HighWater,
// until it has fallen under LowWater. Any goroutine.
func (s *Stream) Writable() bool { return s.rx.flow.Load()&(flowBlocked|flowShut) == 0 }

// refusesLocked reports whether nothing may be written any longer.
func (s *Stream) refusesLocked() bool { return s.life.phase > open || s.tx.finWant }

// admitLocked takes a write of n bytes, or says why not.
func (s *Stream) admitLocked(n int) error {
	err := s.mayWriteLocked(n)
	if err == nil {
		s.tx.accepted += uint64(n)
	}
	return err
}

// mayWriteLocked decides whether a write of n bytes is taken.
func (s *Stream) mayWriteLocked(n int) error {
	if s.refusesLocked() {
		return net.ErrClosed
	}
	if q := s.admittedLocked(); q > 0 && q+n > s.opts.WriteBufferLimit {
		return ErrWriteBufferFull
	}
	return nil
}
