package session

import (
	"net"

	"github.com/tandem-io/tandem/backend"
)

// sealedSize is about how many bytes n bytes are when they are encrypted. The first records of a connection are small:
// crypto/tls fits them into one packet each.
func sealedSize(n int) int {
	if n == 0 {
		return 0
	}
	return n + 29*(n/1150+2)
}

// writeLocked is Write and WriteNotify through TLS. fn is nil for Write. The stream's mu is held, but not while p is
// encrypted.
func (t *tlsLayer) writeLocked(here bool, p []byte, fn func(error)) error {
	if err := t.stream.mayWriteLocked(sealedSize(len(p))); err != nil {
		return err
	}
	return t.takeLocked(here, p, fn)
}

// takeLocked is writeLocked without a limit.
func (t *tlsLayer) takeLocked(here bool, p []byte, fn func(error)) error {
	if len(p) == 0 && fn == nil {
		return nil
	}
	s := t.stream
	if !t.open {
		t.early = append(t.early, earlyWrite{append([]byte(nil), p...), fn})
		t.waiting += len(p)
		if s.queuedBytesLocked() > s.opts.HighWater {
			s.rx.flow.Or(flowBlocked)
		}
		return nil
	}
	return t.sealLocked(here, p, fn)
}

// sealLocked encrypts p and queues it. The stream's mu is held, but not while p is encrypted: the stream may be closed
// meanwhile, and sends p nevertheless.
func (t *tlsLayer) sealLocked(here bool, p []byte, fn func(error)) error {
	s := t.stream
	size := sealedSize(len(p))
	direct, before := !here && s.idleLocked(), s.tx.accepted
	err := t.encryptLocked(p, size)
	if t.sealing == 0 && (s.tx.finWant || s.life.phase == closing || s.life.phase == detaching) {
		s.scheduleLocked(here) // the end waits for it
	}
	switch {
	case err != nil, fn != nil && s.life.phase == closed: // nobody would call fn
		return net.ErrClosed
	case fn != nil:
		s.tx.notify.push(notification{end: s.tx.accepted, fn: fn})
	}
	s.sealedLocked(here, direct, int(s.tx.accepted-before))
	return nil
}

// encryptLocked has p encrypted, without mu, which it locks again even if a function of the user's Config panics.
func (t *tlsLayer) encryptLocked(p []byte, size int) error {
	s := t.stream
	t.sealing += size
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		t.sealing -= size
	}()
	_, err := t.conn.Write(p)
	return err
}

// writevLocked is Writev through TLS.
func (t *tlsLayer) writevLocked(here bool, bufs net.Buffers, total int) error {
	mem := t.stream.loop.Pool.Get(total)
	p := mem[:0]
	for _, b := range bufs {
		p = append(p, b...)
	}
	err := t.writeLocked(here, p, nil)
	t.stream.loop.Pool.Put(mem)
	return err
}

// partLocked is WritePart through TLS.
func (t *tlsLayer) partLocked(here bool, p []byte) (int, error) {
	s := t.stream
	n := min(len(p), max(s.opts.HighWater-s.admittedLocked(), 0))
	if n == 0 {
		return 0, nil
	}
	if err := t.writeLocked(here, p[:n], nil); err != nil {
		if err == ErrWriteBufferFull {
			return 0, nil
		}
		return 0, s.causeOr(err)
	}
	return n, nil
}

// sealedLocked follows n encrypted bytes that were queued. With direct they go to the kernel now, as far as it takes them.
func (s *Stream) sealedLocked(here, direct bool, n int) {
	if direct && s.tx.out.len() > 0 && !s.tx.sending && s.life.phase == open {
		v := vectors.Get().(*[backend.MaxVector][]byte)
		took := s.directLocked(s.loop.Sockets.TrySendVector(s.fd, s.tx.out.vector(v[:0])))
		clear(v[:])
		vectors.Put(v)
		s.tx.out.advance(took)
		s.emptiedLocked(here)
	}
	if s.tx.out.len() > 0 || !s.tx.notify.empty() {
		s.queuedLocked(here, min(n, s.tx.out.len()))
	}
}

// sealEarly encrypts what was written before the handshake was done, and what is written meanwhile, in order. From then on
// writes encrypt for themselves. It reports whether the stream opens with that, and of which dial it is, if of any: nothing
// that others do can come between the two. Loop only.
func (t *tlsLayer) sealEarly() (opens bool, d *dial) {
	s := t.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(t.early) > 0 { // which is still there if a function of the user's Config panics
		w := t.early[0]
		if t.sealLocked(true, w.bytes, w.fn) != nil { // the stream has ended
			return false, nil
		}
		t.early[0] = earlyWrite{}
		t.early = t.early[1:]
		t.waiting -= len(w.bytes)
	}
	t.early, t.open = nil, true
	if t.late || s.life.phase != open {
		return false, nil
	}
	d = s.opts.dial
	s.dialledLocked()
	return true, d
}

// loseEarlyLocked has those told who wait for early writes that nobody will encrypt. mu is held.
func (t *tlsLayer) loseEarlyLocked() {
	for _, w := range t.early {
		if w.fn != nil {
			t.stream.tx.notify.push(notification{end: 1<<64 - 1, fn: w.fn})
		}
	}
	t.early, t.waiting = nil, 0
}

// closeNotify says, once, that nothing more comes from this end, behind all that was written. Loop only, without mu.
func (t *tlsLayer) closeNotify() {
	s := t.stream
	s.mu.Lock()
	due := !t.notified && t.open && t.sealing == 0 && (s.life.phase == open && s.tx.finWant || s.life.phase == closing)
	if due {
		t.notified, t.last = true, s.tx.accepted+1
	}
	s.mu.Unlock()
	if !due {
		return
	}
	s.call(inTLS, func() { _ = t.conn.CloseWrite() }) // fails only if an alert was sent
	s.mu.Lock()
	s.sendLocked()
	s.mu.Unlock()
}

// saidAllLocked reports whether the kernel has taken everything but close_notify. mu is held.
func (t *tlsLayer) saidAllLocked() bool { return t.last > 0 && t.stream.tx.sent+1 >= t.last }
