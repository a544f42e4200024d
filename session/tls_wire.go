package session

import (
	"net"
	"time"
)

// tlsWire is a tlsLayer as its Conn sees it: the connection that carries the records.
type tlsWire tlsLayer

var _ net.Conn = (*tlsWire)(nil) //nolint:forbidigo // an interface, and no socket

// Read implements net.Conn. It returns bytes of one record at most, so that the Conn never holds a part of the next.
func (w *tlsWire) Read(p []byte) (int, error) {
	if d := w.over.Load(); d != nil {
		return d.below.Read(p)
	}
	if !w.reading {
		return w.hand.read(p)
	}
	if len(w.record) == 0 {
		return 0, ErrWouldBlock
	}
	n := copy(p, w.record)
	w.record = w.record[n:]
	return n, nil
}

// Write implements net.Conn. It takes everything; but behind FIN nothing can be sent, and after close_notify nobody expects
// it: that is the answer to a peer that asks for a new key, or an alert.
func (w *tlsWire) Write(p []byte) (int, error) {
	if d := w.over.Load(); d != nil {
		return d.write(p)
	}
	s := w.stream
	here := s.loop.OnLoop()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case w.handing:
		s.pushLocked(here, p)
		s.tx.accepted += uint64(len(p))
		return len(p), nil
	case s.life.phase > detaching:
		return 0, net.ErrClosed
	case s.tx.finSent:
		return len(p), nil
	case here && w.record != nil && !(*tlsLayer)(w).mayAnswerLocked(len(p)):
		return 0, ErrWriteBufferFull
	}
	direct := !here && s.idleLocked()
	s.pushLocked(here, p)
	s.tx.accepted += uint64(len(p))
	if w.sealing == 0 { // else the write sends it, with its other records
		s.sealedLocked(here, direct, len(p))
	}
	return len(p), nil
}

// mayAnswerLocked counts n bytes that answer what the peer has sent, such as its wish for a new key, and reports whether they
// may be queued: not if the peer reads none of the answers. Loop only; mu is held.
func (t *tlsLayer) mayAnswerLocked(n int) bool {
	if t.stream.tx.out.len() == 0 {
		t.answered = 0
	}
	t.answered += n
	return t.answered <= mostAnswers
}

// Close implements net.Conn. The stream is closed by its user.
func (*tlsWire) Close() error { return nil }

// LocalAddr implements net.Conn.
func (w *tlsWire) LocalAddr() net.Addr { return w.stream.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *tlsWire) RemoteAddr() net.Addr { return w.stream.RemoteAddr() }

// SetDeadline implements net.Conn. Nothing below waits.
func (*tlsWire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (*tlsWire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (*tlsWire) SetWriteDeadline(time.Time) error { return nil }
