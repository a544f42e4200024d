package session

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// handshake is the handshake of a tlsLayer, until it is done. The loop hands whole records over; the goroutine of the
// handshake, or the coroutine, reads them.
type handshake struct {
	layer  *tlsLayer
	timer  backend.Timer // the loop's
	begun  bool          // the loop's: it has a slot, and runs
	slot   bool          // the loop's: it counts as one of those that run
	queued bool          // the loop's: it waits for a slot
	cancel context.CancelFunc

	driven *coroutine  // nil: there is a goroutine that runs by itself
	wait   func() bool // the coroutine's: waits for more

	mu    sync.Mutex // guards what follows
	cond  sync.Cond
	in    []byte // whole records
	left  int    // bytes of the first of them that are not read yet
	err   error  // nothing more comes, because
	full  bool   // the loop has stopped receiving, because enough waits here
	since int64  // when the goroutine began to wait for the peer, on the loop's clock; 0: it does not

	done error // the coroutine's: how it has ended
}

// errNotDone is what a handshake ends with whose goroutine a function of the user's has ended.
var errNotDone = errors.New("TLS handshake: a function of the Config has ended its goroutine")

// handshakeError says that it was the handshake in which something has failed. As net.Error has it, it may be a timeout.
type handshakeError struct{ err error }

// Error implements error.
func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }

// Unwrap returns what has failed.
func (e *handshakeError) Unwrap() error { return e.err }

// Timeout is what net.OpError asks for.
func (e *handshakeError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.err, &t) && t.Timeout()
}

// begin begins the handshake, or has it wait for its turn. Loop only.
func (t *tlsLayer) begin() {
	s := t.stream
	h := &handshake{layer: t}
	h.cond.L = &h.mu
	t.shake, t.hand = h, h
	h.timer.Fire = func() { t.handshakeFailed(os.ErrDeadlineExceeded) }
	if limit := s.handshakeLimit(); limit > 0 {
		s.loop.StartTimer(&h.timer, limit)
	}
	s.scheduleTurnEnd() // to receive, and as a client to say hello
}

// feedHandshake hands over what has come, and lets the handshake begin as soon as it can do something. Loop only.
func (t *tlsLayer) feedHandshake() {
	h := t.shake
	if !h.begun {
		if t.server && wholeRecord(t.in.bytes()) == 0 { // a connection that is silent costs no goroutine
			if t.fin {
				t.handshakeFailed(io.EOF)
			}
			return
		}
		if !t.stream.loop.tlsSlots.enter(h) {
			return
		}
		t.run(h)
		if t.shake != h {
			return
		}
	}
	h.mu.Lock()
	for {
		p := t.in.bytes()
		n := wholeRecord(p)
		if n == 0 {
			break
		}
		h.in = append(h.in, p[:n]...)
		t.in.consume(n)
		t.stream.loop.Count[backend.TLSOverhead] += uint64(n)
	}
	if t.fin && h.err == nil {
		h.err = io.EOF
		if t.in.len() > 0 {
			h.err = io.ErrUnexpectedEOF
		}
	}
	goes := len(h.in) > 0 || h.err != nil
	h.mu.Unlock()
	t.in.tidy()
	if goes {
		t.wake(h)
	}
}

// run begins to compute. Loop only.
func (t *tlsLayer) run(h *handshake) {
	s := t.stream
	h.begun = true
	e := s.loop.engine
	if e.driven {
		h.done = errNotDone
		h.driven = newCoroutine(func(wait func() bool) {
			h.wait = wait
			h.done = e.guarded(func() error { return t.conn.HandshakeContext(context.Background()) })
		})
		t.wake(h)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	e.dials.Add(1) // the loop holds the engine meanwhile
	go t.compute(ctx, h)
}

// compute is the goroutine of a handshake.
func (t *tlsLayer) compute(ctx context.Context, h *handshake) {
	e := t.stream.loop.engine
	defer e.dials.Done()
	err := errNotDone
	defer func() {
		_ = t.stream.loop.Post(backend.TaskFunc(func() { t.computed(h, err) })) // if the loop has ended, so has the stream
	}()
	err = e.guarded(func() error { return t.conn.HandshakeContext(ctx) })
}

// wake has the handshake go on, with records that have come or an end. Loop only.
func (t *tlsLayer) wake(h *handshake) {
	if h.driven == nil {
		h.mu.Lock()
		h.since = 0
		h.cond.Signal()
		h.mu.Unlock()
		return
	}
	waits := false
	t.stream.call(inTLS, func() { waits = h.driven.next() })
	if !waits {
		h.driven = nil
		t.computed(h, h.done)
	}
}

// read is Read of the Conn while it shakes hands: it waits for the next record.
func (h *handshake) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.in) == 0 {
		switch {
		case h.err != nil:
			return 0, h.err
		case h.full:
			h.full = false
			s := h.layer.stream
			_ = s.loop.Post(backend.TaskFunc(s.scheduleTurnEnd))
		}
		h.since = h.layer.stream.loop.Clock()
		if h.wait == nil {
			h.cond.Wait()
			continue
		}
		h.mu.Unlock()
		goesOn := h.wait()
		h.mu.Lock()
		if !goesOn && h.err == nil {
			h.err = errNotDone
		}
	}
	h.since = 0
	if h.left == 0 {
		h.left = wholeRecord(h.in)
	}
	n := copy(p, h.in[:h.left])
	h.in = h.in[n:]
	h.left -= n
	return n, nil
}

// wants reports whether more may be received, with n bytes of a record that is not whole yet.
func (h *handshake) wants(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full = len(h.in)+n >= tlsReadAhead
	return !h.full
}

// silent returns for how long the handshake has waited for its peer, 0 if it does not.
func (h *handshake) silent(now int64) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since == 0 || len(h.in) > 0 {
		return 0
	}
	return time.Duration(now - h.since)
}

// end lets the goroutine, or the coroutine, end: the handshake is done, or the stream has ended. Loop only.
func (h *handshake) end() {
	if h.cancel != nil {
		h.cancel()
	}
	h.mu.Lock()
	if h.err == nil {
		h.err = net.ErrClosed
	}
	h.in, h.left = nil, 0
	h.cond.Signal()
	h.mu.Unlock()
	if h.driven != nil {
		h.layer.stream.call(inTLS, h.driven.stop) // it runs to its end
		h.driven = nil
	}
}

// computed follows the end of the handshake. Loop only.
func (t *tlsLayer) computed(h *handshake, err error) {
	if h.cancel != nil {
		h.cancel()
	}
	if t.shake != h {
		return // the stream has ended before
	}
	if err != nil {
		t.handshakeFailed(err)
		return
	}
	s := t.stream
	rest := h.in // behind the last message of the handshake; nobody else has it any longer
	s.loop.Count[backend.TLSOverhead] -= uint64(len(rest))
	s.loop.Count[backend.TLSHandshakes]++
	t.in.endLoan()
	if t.in.len() > 0 {
		rest = append(rest[:len(rest):len(rest)], t.in.bytes()...)
		t.in.drop()
	}
	if len(rest) > 0 {
		t.in.push(rest)
	}
	t.reading, t.hand = true, nil
	t.end()
	var d *dial
	begins := false
	s.call(inTLS, func() { begins, d = t.sealEarly() })
	if begins {
		s.opens()
		if d != nil {
			d.tell(nil)
		}
	}
	s.scheduleTurnEnd()
}

// lostLocked returns the error of a stream whose connection has failed before its handshake was done. mu is held.
func (t *tlsLayer) lostLocked(op string, err error) error {
	s := t.stream
	t.lost = true
	err = &handshakeError{backend.CallError(op, err)}
	if s.opts.dial != nil {
		return s.opts.dial.failure(err)
	}
	return s.opErrorLocked(op, err)
}

// gone follows that the stream has ended, with err. Loop only.
func (t *tlsLayer) gone(err error) {
	s := t.stream
	s.mu.Lock()
	lost := t.lost
	s.mu.Unlock()
	if lost && t.shake != nil {
		t.countFailure(err)
	}
	t.end()
}

func (t *tlsLayer) countFailure(err error) {
	s := t.stream
	s.loop.Count[backend.TLSHandshakeErrors]++
	s.loop.engine.log.Debug("tandem: a TLS handshake has failed", "loop", s.loop.index, "stream", s.id, "remote", s.RemoteAddr(), "error", err)
}

// handshakeFailed ends a stream whose handshake has failed. What crypto/tls had to say about it, an alert, is sent first.
// The user of a stream that was accepted never hears of it.
func (t *tlsLayer) handshakeFailed(err error) {
	s := t.stream
	t.countFailure(err)
	answer := t.plainAnswer(err)
	t.notified = true
	panicked, _ := err.(*PanicError)
	if panicked == nil {
		err = &handshakeError{err}
	}
	t.end()
	t.dropIn()
	t.closed = true
	s.mu.Lock()
	d := s.opts.dial
	s.mu.Unlock()
	switch {
	case d != nil:
		err = d.failure(err)
	case t.late:
		err = s.opError("read", err)
	default:
		err = s.opError("accept", err)
	}
	if len(answer) > 0 {
		_, _ = (*tlsWire)(t).Write(answer) // as it is; it fails only if the stream has ended
	}
	switch {
	case panicked == nil:
		s.closeWith(err, true)
		s.mu.Lock()
		t.loseEarlyLocked() // else the end would wait for it
		s.mu.Unlock()
	case d == nil:
		s.loop.goesOn(callOf(inTLS, s.id))
		s.panickedWith(panicked, err)
	default:
		_ = s.AbortWith(err)
	}
	if d != nil {
		d.tell(err) // and the rest of its end is nobody's business
	}
}

// plainAnswer is what the user's hook says to a peer that does not speak TLS.
func (t *tlsLayer) plainAnswer(err error) (answer []byte) {
	s := t.stream
	var header tls.RecordHeaderError
	from := s.opts.from
	if from == nil || from.notTLS == nil || t.late || !errors.As(err, &header) || header.Conn == nil {
		return nil
	}
	s.call(notTLS, func() { answer = from.notTLS(header.RecordHeader[:]) })
	return answer
}
