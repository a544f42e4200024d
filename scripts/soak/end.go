//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame"
)

// errCause is what AbortWith gets.
var errCause = errors.New("soak: the cause")

// end is one end of a connection that is a Stream. It checks what the contract says of callbacks, and calls the functions
// of whoever uses it, which may be nil.
type end struct {
	tandem.BaseHandler
	l    *life
	kind string

	open, data, eof, writable, drain func(*tandem.Stream)
	over                             func(s *tandem.Stream, err error) // OnClose

	inside         atomic.Int32 // callbacks that run
	opened, closed atomic.Int32 // how often OnOpen and OnClose ran
	posts, told    atomic.Int64 // functions given to Post and WriteNotify that have not run
	finished       atomic.Bool  // OnEOF ran

	// What has been done to the stream, and so how it may end.
	aborted, panicked, impatient, carriesFrames, secret atomic.Bool
	dialled                                             bool
}

// newEnd makes an end that the life's ledger keeps.
func (l *life) newEnd(kind string) *end {
	e := &end{l: l, kind: kind}
	l.mu.Lock()
	l.ends = append(l.ends, e)
	l.mu.Unlock()
	return e
}

// enter and leave are around each callback.
func (e *end) enter(what string) {
	if n := e.inside.Add(1); n != 1 {
		e.l.failf("%s: %s while %d other callbacks run", e.kind, what, n-1)
	}
	if e.closed.Load() > 0 {
		e.l.failf("%s: %s after OnClose", e.kind, what)
	}
}

func (e *end) leave() { e.inside.Add(-1) }

func (e *end) call(what string, s *tandem.Stream, fn func(*tandem.Stream)) {
	e.enter(what)
	defer e.leave()
	if what != "OnOpen" && e.opened.Load() == 0 {
		e.l.failf("%s: %s before OnOpen", e.kind, what)
	}
	if fn != nil {
		fn(s)
	}
}

// OnOpen implements tandem.Handler.
func (e *end) OnOpen(s *tandem.Stream) {
	if e.opened.Add(1) != 1 {
		e.l.failf("%s: OnOpen again", e.kind)
	}
	e.l.count(opened, e.kind)
	if s.LocalAddr() == nil || s.RemoteAddr() == nil {
		e.l.failf("%s: OnOpen of a stream without addresses", e.kind)
	}
	e.call("OnOpen", s, e.open)
}

// OnData implements tandem.Handler.
func (e *end) OnData(s *tandem.Stream) {
	if e.finished.Load() && s.Buffered() == 0 {
		e.l.failf("%s: OnData after OnEOF, with nothing to read", e.kind)
	}
	e.call("OnData", s, e.data)
}

// OnEOF implements tandem.Handler.
func (e *end) OnEOF(s *tandem.Stream) {
	if e.finished.Swap(true) {
		e.l.failf("%s: OnEOF again", e.kind)
	}
	e.call("OnEOF", s, e.eof)
}

// OnWritable implements tandem.Handler.
func (e *end) OnWritable(s *tandem.Stream) { e.call("OnWritable", s, e.writable) }

// OnClose implements tandem.Handler.
func (e *end) OnClose(s *tandem.Stream, err error) {
	e.enter("OnClose")
	defer e.leave()
	e.ended(s, err)
}

// ended is OnClose, for handlers that count callbacks themselves.
func (e *end) ended(s *tandem.Stream, err error) {
	if e.closed.Add(1) != 1 {
		e.l.failf("%s: OnClose again, with %v", e.kind, err)
		return
	}
	if e.opened.Load() > 0 {
		e.l.count(closed, e.kind)
	}
	class, ok := e.class(err)
	e.l.count(ends, class)
	if !ok {
		e.l.failf("%s: OnClose was told %q (%T), which nobody asked for", e.kind, fmt.Sprint(err), err)
	}
	if e.over != nil {
		e.over(s, err)
	}
}

// class says what kind of error OnClose was told, and whether it may have been.
func (e *end) class(err error) (string, bool) {
	var panicked *tandem.PanicError
	var wrong *frame.Error
	var op *net.OpError
	if class, ok := e.tlsFailure(err); class != "" {
		return class, ok
	}
	switch {
	case err == nil:
		return "nil", true
	case err == net.ErrClosed:
		return "net.ErrClosed", e.aborted.Load() || e.l.isEnding()
	case errors.Is(err, errCause):
		return "the cause of AbortWith", e.aborted.Load()
	case errors.As(err, &panicked):
		return "PanicError", e.panicked.Load()
	case errors.As(err, &wrong):
		return "frame.Error, " + wrong.Err.Error(), e.carriesFrames.Load() && errors.Is(err, io.ErrUnexpectedEOF)
	case errors.Is(err, backend.ErrGoexit):
		return "the death of the loop", e.l.hasDied()
	case errors.Is(err, backend.ErrThread): // io_uring cannot follow to the goroutine that ends the Transport
		return "the loss of the loop's thread", e.l.driven && e.l.isEnding()
	case errors.As(err, &op):
		return e.classOf(op)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "os.ErrDeadlineExceeded", e.impatient.Load()
	}
	return err.Error(), false
}

// classOf is class for errors with operation and addresses.
func (e *end) classOf(op *net.OpError) (string, bool) {
	class := op.Op + ": " + op.Err.Error()
	var errno syscall.Errno
	if errors.As(op, &errno) {
		class = op.Op + ": " + errno.Error()
	}
	if op.Op == "dial" {
		may := errors.Is(op, syscall.ECONNREFUSED) || errors.Is(op, syscall.ENOENT) || errors.Is(op, syscall.ECONNRESET) ||
			errors.Is(op, syscall.EPIPE) && e.secret.Load() || // in the handshake
			errors.Is(op, syscall.EAGAIN) || errors.Is(op, syscall.EMFILE) && e.l.shortages.Load() > 0 ||
			errors.Is(op, os.ErrDeadlineExceeded) && e.impatient.Load() ||
			errors.Is(op, net.ErrClosed) && (e.l.isEnding() || e.aborted.Load()) || isContext(op)
		return class, may && e.dialled
	}
	tooLate := e.opened.Load() == 0 && errors.Is(op, net.ErrClosed) && e.l.isEnding()
	return class, errno == syscall.ECONNRESET || errno == syscall.EPIPE || tooLate
}

// post is Stream.Post, of a function that must then run once.
func (e *end) post(s *tandem.Stream, fn func()) {
	e.posts.Add(1)
	e.l.count(done, "functions posted")
	if err := s.Post(func() {
		e.posts.Add(-1)
		if e.opened.Load() > 0 {
			e.enter("a posted function")
			defer e.leave()
		}
		fn()
	}); err != nil {
		e.posts.Add(-1)
		if err != net.ErrClosed {
			e.l.failf("%s: Post: %v", e.kind, err)
		}
	}
}

// after is Stream.After, of a function that must not run early.
func (e *end) after(s *tandem.Stream, d time.Duration, fn func()) *tandem.Timer {
	began := time.Now()
	return s.After(d, func() {
		e.enter("a timer")
		defer e.leave()
		if early := d - time.Since(began); early > 0 {
			e.l.failf("%s: a timer of %v ran %v early", e.kind, d, early)
		}
		e.l.count(done, "timers that ran")
		fn()
	})
}

// notify is Stream.WriteNotify, whose function must then be called once.
func (e *end) notify(s *tandem.Stream, p []byte, fn func(error)) error {
	e.told.Add(1)
	e.l.count(done, "writes with notification")
	err := s.WriteNotify(p, func(err error) {
		e.told.Add(-1)
		fn(err)
	})
	if err != nil {
		e.told.Add(-1)
	}
	return err
}

func (e *end) abort(r *rand.Rand, s *tandem.Stream) {
	e.aborted.Store(true)
	if r.IntN(2) == 0 {
		_ = s.AbortWith(errCause)
	} else {
		_ = s.Abort()
	}
}

// panics panics, and counts it.
func (e *end) panics() {
	e.panicked.Store(true)
	e.l.count(faults, "panics in callbacks")
	panic("soak: on purpose")
}

// broken says what the contract promised and has not come, when the Transport is gone.
func (e *end) broken() string {
	o, c := e.opened.Load(), e.closed.Load()
	switch {
	case c != 1 && (o > 0 || e.dialled):
		return fmt.Sprintf("%s: OnOpen was called %d times, OnClose %d times", e.kind, o, c)
	case e.posts.Load() != 0:
		return fmt.Sprintf("%s: of the functions given to Post %d have not run", e.kind, e.posts.Load())
	case e.told.Load() != 0:
		return fmt.Sprintf("%s: of the functions given to WriteNotify %d were not called", e.kind, e.told.Load())
	case e.inside.Load() != 0:
		return fmt.Sprintf("%s: %d callbacks have not returned", e.kind, e.inside.Load())
	}
	return ""
}

// drainer is an end that ends its stream itself when the Transport shuts down.
type drainer struct{ *end }

// OnDrain implements tandem.Drainer.
func (d drainer) OnDrain(s *tandem.Stream) { d.call("OnDrain", s, d.drain) }
