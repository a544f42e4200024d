package session

import (
	"net"
	"sync"

	"github.com/tandem-io/tandem/backend"
)

// notification is a promise of WriteNotify.
type notification struct {
	end uint64 // due when so many bytes have been sent, ever
	fn  func(error)
}

// Write queues p and never blocks: it takes all of p, or nothing and returns ErrWriteBufferFull if the queue would grow
// above WriteBufferLimit, or net.ErrClosed. A p larger than that limit is taken if the queue is empty. p is the
// caller's again when Write returns.
//
// On the stream's loop the bytes go out when the turn ends, in one piece with all others of that turn; or when 64 KiB
// have gathered. From any other goroutine, if nothing is queued, they go to the kernel before Write returns. The bytes
// of one call stay together.
func (s *Stream) Write(p []byte) (int, error) {
	here := s.loop.Here()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(len(p)); err != nil {
		return 0, err
	}
	n := 0
	if !here && len(p) > 0 && s.idleLocked() {
		n = s.directLocked(s.loop.Sockets.TrySend(s.fd, p))
	}
	if n < len(p) {
		s.out.push(p[n:])
		s.queuedLocked(here, len(p)-n)
	}
	return len(p), nil
}

// WritePart is Stream.Write for as much of p as the kernel takes at once or fits below HighWater: for layers that hold
// back what does not fit, instead of queueing all of it. It returns how many bytes were taken. The error says why the
// stream has ended. Any goroutine; it does not block.
func WritePart(s *Stream, p []byte) (int, error) {
	here := s.loop.Here()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(0); err != nil {
		return 0, s.causeOr(err)
	}
	n := 0
	if !here && len(p) > 0 && s.idleLocked() {
		if n = s.directLocked(s.loop.Sockets.TrySend(s.fd, p)); s.phase > open {
			return 0, s.causeOr(net.ErrClosed)
		}
	}
	room := max(s.opts.HighWater-s.out.n, 0)
	if k := min(len(p)-n, room); k > 0 {
		s.out.push(p[n : n+k])
		s.queuedLocked(here, k)
		n += k
	}
	s.accepted += uint64(n)
	return n, nil
}

// causeOr returns what ended the stream, or err if nothing has. mu is held.
func (s *Stream) causeOr(err error) error {
	if s.cause != nil {
		return s.cause
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
	here := s.loop.Here()
	s.mu.Lock()
	defer s.mu.Unlock()
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
			s.out.push(b[k:])
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
	here := s.loop.Here()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(len(b.bytes)); err != nil {
		return err
	}
	mine := &Buffer{bytes: b.bytes, memory: b.memory}
	b.bytes, b.memory = nil, nil
	if len(mine.bytes) == 0 {
		mine.Release()
		return nil
	}
	if !here && s.idleLocked() {
		n := s.directLocked(s.loop.Sockets.TrySend(s.fd, mine.bytes))
		if mine.bytes = mine.bytes[n:]; len(mine.bytes) == 0 {
			mine.Release()
			return nil
		}
	}
	s.out.pushBuffer(mine)
	s.queuedLocked(here, len(mine.bytes))
	return nil
}

// WriteNotify is Write, and calls fn once, on the loop: with nil when the kernel has taken every byte of p, or with the
// error that ended the stream before that. If WriteNotify returns an error, fn is not called.
func (s *Stream) WriteNotify(p []byte, fn func(error)) error {
	if fn == nil {
		return errNoFunction
	}
	here := s.loop.Here()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(len(p)); err != nil {
		return err
	}
	n := 0
	if !here && s.idleLocked() {
		n = s.directLocked(s.loop.Sockets.TrySend(s.fd, p))
	}
	s.notify = append(s.notify, notification{end: s.accepted, fn: fn})
	s.out.push(p[n:])
	s.queuedLocked(here, len(p)-n)
	return nil
}

// Flush hands the queue to the kernel now, as much as it takes without waiting, instead of at the end of the turn.
func (s *Stream) Flush() error {
	here := s.loop.Here()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase > closing {
		return net.ErrClosed
	}
	if here {
		s.flushLocked()
	} else if s.out.n > 0 && !s.sending {
		s.markLocked(false)
	}
	return nil
}

// Queued returns how many bytes have been written and not yet been taken by the kernel. Any goroutine.
func (s *Stream) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.n
}

// Writable reports whether the queue is in bounds: it is not from the moment on that the queue is above HighWater,
// until it has fallen under LowWater. Any goroutine.
func (s *Stream) Writable() bool { return s.rx.flow.Load()&(flowBlocked|flowShut) == 0 }

// admitLocked decides whether a write of n bytes is taken.
func (s *Stream) admitLocked(n int) error {
	if s.phase > open || s.finWant {
		return net.ErrClosed
	}
	if s.out.n > 0 && s.out.n+n > s.opts.WriteBufferLimit {
		return ErrWriteBufferFull
	}
	s.accepted += uint64(n)
	return nil
}

// idleLocked tells whether bytes may go straight to the kernel: nothing is queued, in flight, or to be connected.
func (s *Stream) idleLocked() bool {
	return s.out.n == 0 && !s.sending && s.phase == open && len(s.notify) == 0
}

// directLocked follows a send from the calling goroutine, and returns how much the kernel took. A failure ends the stream.
func (s *Stream) directLocked(n int, err error) int {
	s.loop.CountShared(backend.SystemCalls, 1)
	if err != nil {
		s.failLocked(s.opErrorLocked("write", err), false)
	}
	if n == 0 {
		return 0
	}
	s.sent += uint64(n)
	s.loop.CountShared(backend.BytesOut, n)
	s.loop.CountShared(backend.DirectWrites, 1)
	s.loop.CountShared(backend.Writes, 1)
	if s.watched {
		s.direct = s.loop.Clock()
	}
	return n
}

// vectors are what trySendVector copies into, so that the slices of a caller need not move to the heap.
var vectors = sync.Pool{New: func() any { return new([backend.MaxVector][]byte) }}

// trySendVector sends several slices from the calling goroutine.
func (s *Stream) trySendVector(bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return s.loop.Sockets.TrySend(s.fd, bufs[0])
	}
	v := vectors.Get().(*[backend.MaxVector][]byte)
	k := copy(v[:], bufs)
	n, err := s.loop.Sockets.TrySendVector(s.fd, v[:k])
	clear(v[:k])
	vectors.Put(v)
	return n, err
}

// queuedLocked follows every addition to the queue, of n bytes.
func (s *Stream) queuedLocked(here bool, n int) {
	if s.out.n > s.opts.HighWater {
		s.rx.flow.Or(flowBlocked)
	}
	if here {
		s.loop.gathered(s, n)
		if s.out.n >= gatherLimit {
			s.flushLocked()
		}
	}
	if s.phase == open {
		s.markLocked(here)
	}
}

// sendLocked gives the queue to the driver, as long as it takes it, up to the turn's budget. Loop only.
func (s *Stream) sendLocked() {
	if s.phase != open && s.phase != closing {
		return
	}
	for budget := s.opts.TurnBudget; s.out.n > 0 && !s.sending; {
		if budget <= 0 {
			s.mark()
			return
		}
		n, err := s.loop.Driver.Send(&s.sock, s.out.vector(s.loop.vec[:0]))
		switch {
		case err == backend.ErrPending:
			s.sending = true
		case err != nil:
			s.failLocked(s.opErrorLocked("write", err), true)
			return
		default:
			s.tookLocked(n)
			budget -= n
		}
	}
}

// flushLocked sends the queue before it returns, as much as the kernel takes at once. A driver may gather what it is
// given until the turn ends, so it gets only what has to wait. Loop only.
func (s *Stream) flushLocked() {
	if s.phase != open && s.phase != closing {
		return
	}
	for budget := s.opts.TurnBudget; s.out.n > 0 && !s.sending && budget > 0; {
		n, err := s.loop.Sockets.TrySendVector(s.fd, s.out.vector(s.loop.vec[:0]))
		s.loop.Count[backend.SystemCalls]++
		switch {
		case err != nil:
			s.failLocked(s.opErrorLocked("write", err), true)
			return
		case n == 0:
			s.sendLocked()
		default:
			s.tookLocked(n)
			budget -= n
		}
	}
	s.mark()
}

// tookLocked follows what the kernel took.
func (s *Stream) tookLocked(n int) {
	s.out.advance(n)
	s.sent += uint64(n)
	s.loop.Count[backend.BytesOut] += uint64(n)
	s.loop.Count[backend.Writes]++
	s.went()
}

// Sent implements backend.Events.
func (e *streamEvents) Sent(n int, err error) {
	s := (*Stream)(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending = false
	if n > 0 {
		s.tookLocked(n)
	}
	if err != nil {
		s.failLocked(s.opErrorLocked("write", err), true)
	}
	if s.out.n > 0 || len(s.notify) > 0 || s.finWant || s.phase != open || s.rx.flow.Load()&flowBlocked != 0 {
		s.mark()
	}
}

// isDueLocked reports whether the bytes of the first notification have all been taken.
func (s *Stream) isDueLocked() bool { return len(s.notify) > 0 && s.notify[0].end <= s.sent }

// tellDue tells those whose bytes have all been taken.
func (s *Stream) tellDue() {
	for fn := s.nextNotify(true); fn != nil; fn = s.nextNotify(true) {
		s.callNotify(fn, nil)
	}
}

// tellLost tells those that are left err.
func (s *Stream) tellLost(err error) {
	for fn := s.nextNotify(false); fn != nil; fn = s.nextNotify(false) {
		s.callNotify(fn, err)
	}
}

// nextNotify takes the first notification off the list, one at a time, because its function may end the goroutine. nil:
// there is none, or none that is due.
func (s *Stream) nextNotify(due bool) func(error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.notify) == 0 || due && !s.isDueLocked() {
		return nil
	}
	fn := s.notify[0].fn
	s.notify[0] = notification{}
	if s.notify = s.notify[1:]; len(s.notify) == 0 {
		s.notify = nil
	}
	return fn
}

// unblockLocked reports that the queue has fallen under LowWater, once.
func (s *Stream) unblockLocked() bool {
	if s.rx.flow.Load()&flowBlocked == 0 || s.out.n >= s.opts.LowWater {
		return false
	}
	s.rx.flow.And(^flowBlocked)
	return s.phase == open && s.opened
}
