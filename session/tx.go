package session

import (
	"sync"

	"github.com/tandem-io/tandem/backend"
)

// tx is the send side of a stream: what was written, and how much of it the kernel has taken. The stream's mu guards it.
type tx struct {
	out      *queue // nil: nothing is queued
	accepted uint64 // bytes that writes have been given, ever
	sent     uint64 // of these, bytes that the kernel took
	notify   chain[notification]
	files    *outFiles // that go with bytes of the queue; nil: none
	sending  bool      // a Send is with the driver
	finWant  bool      // CloseWrite was called
	finSent  bool
	watched  bool  // an idle timeout is set, for which last is exact
	wanted   int32 // OnWritable is to be called below so many queued bytes, although they were not above HighWater; 0: no
	last     int64 // when the kernel last took bytes, on the loop's clock; 0: it has taken none
}

// notification is a promise of WriteNotify.
type notification struct {
	end uint64 // due when so many bytes have been sent, ever
	fn  func(error)
}

// idle reports whether nothing is queued for the kernel, or on its way there.
func (t *tx) idle() bool { return t.out.len() == 0 && !t.sending }

// isDue reports whether the bytes of the first notification have all been taken.
func (t *tx) isDue() bool { return !t.notify.empty() && t.notify.first().value.end <= t.sent }

// pending reports whether the loop has to look after the send side when a Send has ended.
func (t *tx) pending() bool { return t.out.len() > 0 || !t.notify.empty() || t.finWant }

// mostKeptSegments is how many segments a queue has room for that is kept for another stream: those of two sends, and some
// more, because append makes more room than it has to.
const mostKeptSegments = 3 * backend.MaxVector

// pushLocked copies p behind what is queued.
func (s *Stream) pushLocked(here bool, p []byte) {
	if len(p) > 0 {
		s.queueLocked(here).push(p)
	}
}

// queueLocked is the stream's queue, for something to be put there.
func (s *Stream) queueLocked(here bool) *queue {
	if s.tx.out == nil {
		s.tx.out = s.loop.takeQueue(here)
	}
	return s.tx.out
}

// emptiedLocked gives the queue back, if nothing is left in it.
func (s *Stream) emptiedLocked(here bool) {
	q := s.tx.out
	if q == nil || q.n > 0 {
		return
	}
	s.tx.out = nil
	if cap(q.segs) > mostKeptSegments {
		q.segs = nil
	}
	s.loop.putQueue(here, q)
}

// queuedBytesLocked is how many bytes wait for the kernel, or for a TLS handshake.
func (s *Stream) queuedBytesLocked() int {
	if s.tls != nil {
		return s.tx.out.len() + s.tls.waiting
	}
	return s.tx.out.len()
}

// admittedLocked is queuedBytesLocked and about what is being encrypted, by writes that were admitted.
func (s *Stream) admittedLocked() int {
	if s.tls != nil {
		return s.tx.out.len() + s.tls.waiting + s.tls.sealing
	}
	return s.tx.out.len()
}

// drainedLocked reports whether the kernel has everything that was admitted.
func (s *Stream) drainedLocked() bool { return s.tx.idle() && s.admittedLocked() == 0 }

// idleLocked reports whether bytes may go straight to the kernel: nothing is queued, in flight, or to be connected.
func (s *Stream) idleLocked() bool {
	return s.tx.idle() && s.life.phase == open && s.tx.notify.empty()
}

// sendNowLocked sends p, as far as the kernel takes it at once, if the caller is another goroutine than the loop's and
// nothing is in front of p. It returns how much that was.
func (s *Stream) sendNowLocked(here bool, p []byte) int {
	if here || len(p) == 0 || !s.idleLocked() { // a send of nothing would fail if the peer has gone
		return 0
	}
	return s.directLocked(s.loop.Sockets.TrySend(s.fd, p))
}

// directLocked follows a send from a calling goroutine that is not the loop's; see sentAtOnceLocked.
func (s *Stream) directLocked(n int, err error) int {
	n = s.sentAtOnceLocked(n, err)
	if n > 0 {
		s.loop.CountShared(backend.DirectWrites, 1)
	}
	return n
}

// sentAtOnceLocked follows a send past the queue, and returns how much the kernel took. A failure ends the stream.
func (s *Stream) sentAtOnceLocked(n int, err error) int {
	s.loop.CountShared(backend.SystemCalls, 1)
	if err != nil {
		s.brokenLocked("write", err, false)
	}
	if n == 0 {
		return 0
	}
	s.tx.sent += uint64(n)
	s.loop.CountShared(backend.BytesOut, n)
	s.loop.CountShared(backend.Writes, 1)
	if s.tx.watched {
		s.tx.last = s.loop.Clock()
	} else {
		s.tx.last = max(s.tx.last, s.since.Load(), s.loop.roughly())
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

// enqueueLocked puts p behind what is queued.
func (s *Stream) enqueueLocked(here bool, p []byte) {
	s.pushLocked(here, p)
	s.queuedLocked(here, len(p))
}

// queuedLocked follows every addition to the queue, of n bytes.
func (s *Stream) queuedLocked(here bool, n int) {
	if s.tx.out.len() > s.opts.HighWater {
		s.rx.flow.Or(flowBlocked)
	}
	if here {
		s.loop.gathered(s, n)
		if s.tx.out.len() >= gatherLimit {
			s.flushLocked()
		}
	}
	if s.life.phase == open || s.life.phase == closing { // which is still in its TLS handshake
		s.scheduleLocked(here)
	}
}

// sendLocked gives the queue to the driver, as long as it takes it, up to the turn's budget. Loop only.
func (s *Stream) sendLocked() {
	if s.life.phase != open && s.life.phase != closing {
		return
	}
	for budget := s.opts.TurnBudget; s.tx.out.len() > 0 && !s.tx.sending; {
		if budget <= 0 {
			s.scheduleTurnEnd()
			return
		}
		bufs := s.tx.out.vector(s.loop.vec[:0])
		var n int
		var err error
		if s.tx.files == nil {
			n, err = s.loop.Driver.Send(&s.sock, bufs)
		} else {
			n, err = s.sendWithFilesLocked(bufs)
		}
		switch {
		case err == backend.ErrPending:
			s.tx.sending = true
		case err != nil:
			s.brokenLocked("write", err, true)
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
	if s.life.phase != open && s.life.phase != closing {
		return
	}
	for budget := s.opts.TurnBudget; s.tx.out.len() > 0 && !s.tx.sending && budget > 0; {
		n, err := s.trySendQueueLocked(s.tx.out.vector(s.loop.vec[:0]))
		s.loop.Count[backend.SystemCalls]++
		switch {
		case err != nil:
			s.brokenLocked("write", err, true)
			return
		case n == 0:
			s.sendLocked()
		default:
			s.tookLocked(n)
			budget -= n
		}
	}
	s.scheduleTurnEnd()
}

// tookLocked follows what the kernel took.
func (s *Stream) tookLocked(n int) {
	s.tx.out.advance(n)
	s.tx.sent += uint64(n)
	s.emptiedLocked(true)
	if s.tx.files != nil {
		s.filesSentLocked()
	}
	s.loop.Count[backend.BytesOut] += uint64(n)
	s.loop.Count[backend.Writes]++
	s.tx.last = s.loop.lately()
	s.went()
}

// Sent implements backend.Events.
func (e *streamEvents) Sent(n int, err error) {
	s := (*Stream)(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx.sending = false
	if n > 0 {
		s.tookLocked(n)
	}
	if err != nil {
		s.brokenLocked("write", err, true)
	}
	if s.tx.pending() || s.life.phase != open || s.tx.wanted > 0 || s.rx.flow.Load()&flowBlocked != 0 {
		s.scheduleTurnEnd()
	}
}

// dropQueueLocked drops what is queued. If a driver has failed with a Send in flight, the kernel may still read the memory,
// which must not be used again.
func (s *Stream) dropQueueLocked() {
	if s.tls != nil {
		s.tls.loseEarlyLocked()
	}
	s.dropFilesLocked()
	if s.sock.Busy() {
		s.tx.out.abandon()
	} else {
		s.tx.out.drop()
	}
	s.emptiedLocked(true)
}

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
	if s.tx.notify.empty() || due && !s.tx.isDue() {
		return nil
	}
	return s.tx.notify.pop().value.fn
}

// unblockLocked reports that the queue has fallen under LowWater, once, or below what TellWritable asks for.
func (s *Stream) unblockLocked() bool {
	blocked, queued := s.rx.flow.Load()&flowBlocked != 0, s.queuedBytesLocked()
	if (!blocked || queued >= s.opts.LowWater) && queued >= int(s.tx.wanted) {
		return false
	}
	if blocked {
		s.rx.flow.And(^flowBlocked)
	}
	s.tx.wanted = 0
	return s.life.phase == open && s.opened
}
