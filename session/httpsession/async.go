package httpsession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/tandem-io/tandem/session"
)

// StartAsync keeps an exchange open when the http.Handler returns: its response goes on until Async.Close, and the
// content of a request in parts is delivered to e. It is for handlers that answer later, or for as long as the client
// stays, and do not want a goroutine for it; a handler that has one is served by Blocking.
//
// An http.Handler that a Handler of this package serves calls it, with its ResponseWriter or one that wraps it and has
// Unwrap, on the stream's loop. What was written before goes first. The context of the request ends with the exchange.
// The next request of the connection waits until then.
func StartAsync(w http.ResponseWriter, e AsyncEvents) (*Async, error) {
	a, err := ownAnswer(w, "start async")
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.hijacked:
		return nil, http.ErrHijacked
	case a.returned:
		return nil, errReturned
	case a.live.isAsync():
		return nil, errors.New("httpsession: start async: it was called before for this request")
	case a.asked.Method == http.MethodConnect:
		return nil, errors.New("httpsession: start async: not for CONNECT")
	}
	if a.live == nil {
		a.live = &life{received: true}
	}
	a.live.events, a.live.async = e, &Async{a}
	if a.parts == nil {
		a.parts = &going{}
	}
	a.conn.current = a
	return a.live.async, nil
}

// ownAnswer returns the ResponseWriter of this package that w is or wraps.
func ownAnswer(w http.ResponseWriter, step string) (*answer, error) {
	for {
		switch own := w.(type) {
		case *answer:
			return own, nil
		case *Async:
			return own.a, nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = own.Unwrap()
		default:
			return nil, fmt.Errorf("httpsession: %s: a %T is no ResponseWriter of this package: %w", step, w, errors.ErrUnsupported)
		}
	}
}

// AsyncEvents are the functions that are called for an exchange that StartAsync keeps open: on the stream's loop, one at a
// time, after the http.Handler has returned. They must not block. All may be nil.
type AsyncEvents struct {
	// Data is called for each piece of the content of a request in parts, as ServerOptions.Parts says, up to
	// Async.Close. p is valid until it returns. Without it the content is dropped, up to 256 KiB; for more the
	// connection is closed. A request that is whole has its content in its Body.
	Data func(p []byte)

	// End is called behind the last piece, with the fields that came in the trailer; nil: none.
	End func(trailer http.Header)

	// Writable is called when the client has taken so much that Async.Writable is true again.
	Writable func()

	// Drain is called when the Transport shuts down: the response should end soon. When the context of Shutdown ends, it is
	// cut off.
	Drain func()

	// Close is called once, last: with nil when the response is complete, and otherwise with the reason why it will not be.
	// A client that has left is io.ErrUnexpectedEOF or syscall.ECONNRESET, one that takes nothing for WriteTimeout
	// os.ErrDeadlineExceeded.
	Close func(err error)
}

// Async is the response of an exchange that goes on after its http.Handler has returned. It is an http.ResponseWriter and
// http.Flusher, and its methods may be called from any goroutine, those of http.ResponseWriter from one at a time. None
// blocks.
//
// Content is sent in parts: in chunks, up to the Content-Length that the handler has set, or to a client of HTTP/1.0 up
// to the end of the connection. What is written is gathered up to 4 KiB, or to a Flush. A response that ends before
// that is sent whole, with its length.
type Async struct{ a *answer }

// Header implements http.ResponseWriter.
func (x *Async) Header() http.Header { return x.a.Header() }

// WriteHeader implements http.ResponseWriter.
func (x *Async) WriteHeader(status int) { x.a.WriteHeader(status) }

// Write implements http.ResponseWriter. It takes all of p, or nothing: above WriteBufferLimit the error is
// session.ErrWriteBufferFull, and after the end net.ErrClosed. A program that writes as long as Writable is true, and
// goes on when AsyncEvents.Writable is called, keeps the memory for a client that does not read within HighWater.
func (x *Async) Write(p []byte) (int, error) { return x.a.Write(p) }

// Flush implements http.Flusher.
func (x *Async) Flush() { x.a.Flush() }

// FlushError is Flush with its error, as http.ResponseController calls it.
func (x *Async) FlushError() error { return x.a.FlushError() }

// Writable reports whether the client takes what is written: it is false while more than HighWater bytes are queued, until
// they have fallen under LowWater, and after the end.
func (x *Async) Writable() bool { return !x.a.isDone() && x.a.stream.Writable() }

// Pause stops AsyncEvents.Data until Resume; the client is held up. Called before the http.Handler has returned, it
// also keeps a client waiting that expects 100 Continue.
func (x *Async) Pause() {
	x.a.mu.Lock()
	defer x.a.mu.Unlock()
	if !x.a.returned {
		x.a.paused = true
		x.a.parts.pauses++
		x.a.stream.PauseRead()
	}
}

// Resume takes Pause back. A client that expects 100 Continue gets it, unless the response has begun.
func (x *Async) Resume() {
	x.a.mu.Lock()
	defer x.a.mu.Unlock()
	if !x.a.paused {
		return
	}
	x.a.paused = false
	x.a.parts.pauses++
	if x.a.sent == nil && !x.a.returned {
		x.a.proceed()
	}
	x.a.stream.ResumeRead()
}

// Close completes the response, with the trailer that Header has, as in net/http. Calls after the first do nothing.
func (x *Async) Close() error {
	a := x.a
	a.mu.Lock()
	if a.returned {
		a.mu.Unlock()
		return nil
	}
	a.writeHeader(http.StatusOK)
	a.returned = true
	a.mu.Unlock()
	return a.stream.Post(func() { a.conn.finishes(a.stream, a) })
}

// Abort resets the connection: the client sees that the response is not complete. After Close it does nothing, because the
// connection may be that of another exchange.
func (x *Async) Abort() error {
	if x.a.isDone() {
		return nil
	}
	return x.a.stream.Abort()
}

// Stream returns the connection's stream, for its timers and Post.
func (x *Async) Stream() *session.Stream { return x.a.stream }

var (
	_ http.ResponseWriter = (*Async)(nil)
	_ http.Flusher        = (*Async)(nil)
	_ http.Flusher        = (*answer)(nil)
)

// life is what a connection knows of an exchange that does not end with its http.Handler. It belongs to the loop.
type life struct {
	async    *Async // nil: the response is whole when the http.Handler returns. Never changes once it is set; nor does events
	events   AsyncEvents
	cancel   context.CancelFunc // of the request's context, if that goes on
	received bool               // the request is whole
	over     bool               // the response is complete, or never will be
	dropped  int64              // bytes of content that nobody wanted
}

// wantsContent reports whether the handler takes the content of a request in parts.
func (l *life) wantsContent() bool { return l.isAsync() && l.events.Data != nil }

func (l *life) isAsync() bool { return l != nil && l.async != nil }

// tell ends the exchange, once.
func (l *life) tell(err error) {
	if l.over {
		return
	}
	l.over = true
	if l.cancel != nil {
		l.cancel()
	}
	if l.events.Close != nil {
		l.events.Close(err)
	}
}

// inParts is the Body of a request whose content comes in parts. Others may have wrapped it.
type inParts struct{ to *pipe } // nil: no Blocking handler reads it

// Read implements io.Reader. The content is delivered to AsyncEvents, or read by a handler that is Blocking.
func (b *inParts) Read(p []byte) (int, error) {
	if b.to == nil {
		return 0, errInParts
	}
	return b.to.read(p)
}

// Close implements io.Closer.
func (b *inParts) Close() error {
	if b.to == nil {
		return nil
	}
	return pipeBody{b.to}.Close()
}

var errInParts = fmt.Errorf("httpsession: the content of this request comes in parts, to AsyncEvents.Data: %w", session.ErrWouldBlock)

var _ io.ReadCloser = (*inParts)(nil)
