package httpsession

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/tandem-io/tandem/frame/http1"
)

// Blocking returns an http.Handler that runs h on a goroutine of its own for each request, as net/http does: h may block.
// It is for a Handler of this package, and for routes of a mux that it serves; elsewhere it is h.
//
//	Body.Read   waits for the content of a request in parts, see ServerOptions.Parts. The client is held up while 256 KiB of it
//	            are unread. The first Read answers 100 Continue. Behind io.EOF the request's Trailer has what came in it.
//	Write       waits while more than HighWater bytes are queued that the client has not taken
//	Flush       sends what was written; otherwise that is done for each 4 KiB
//	Context     is cancelled when the client leaves, and when h returns. Reads and Writes fail then
//
// CONNECT is answered with 501, without h. h must return soon after its context has ended: nothing waits for it. A
// panic of h resets the connection and is logged as that of a callback; http.ErrAbortHandler is not logged. If Blocking
// is what Handler serves itself, and not a route of its, all requests come in parts.
func Blocking(h http.Handler) http.Handler {
	if h == nil {
		panic("httpsession: Blocking without an http.Handler")
	}
	return &blocking{h}
}

type blocking struct{ http.Handler }

// ServeHTTP implements http.Handler.
func (b *blocking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := ownAnswer(w, "blocking")
	if err != nil { // of another server
		b.Handler.ServeHTTP(w, r)
		return
	}
	if a.asked.Method == http.MethodConnect { // StartAsync refuses it, and the client has its choice of methods
		http.Error(w, "CONNECT is not for this server", http.StatusNotImplemented)
		return
	}
	p := &pipe{request: r}
	p.moved.L = &p.mu
	if p.out, err = StartAsync(a, AsyncEvents{Data: p.data, End: p.end, Writable: p.wake, Close: p.close}); err != nil {
		panic(err) // such as of a second call for one request
	}
	if a.body != nil {
		p.out.Pause() // until the first Read
		p.paused = true
		a.body.to = p // r.Body is that, or reads from it
	} else {
		p.unread, p.broken = io.ReadAll(r.Body) // its memory is lent until this function returns
		p.whole = true
		r.Body = pipeBody{p}
	}
	go p.run(b.Handler)
}

// mostUnread is how much content of a request a Blocking handler may leave unread before the client is held up, in bytes.
const mostUnread = 256 << 10

// pipe is between the loop and the goroutine of a handler.
type pipe struct {
	request *http.Request // the goroutine's
	out     *Async

	mu     sync.Mutex // guards what follows
	moved  sync.Cond  // something has changed
	unread []byte     // content
	paused bool       // the client is held up
	whole  bool       // all content has come
	broken error      // why a Body that somebody has wrapped gave no more of it
	closed bool       // the Body was closed
	after  http.Header
	err    error // why nothing more will come or go
	over   bool
}

func (p *pipe) data(piece []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.unread = append(p.unread, piece...)
	}
	if len(p.unread) >= mostUnread {
		p.paused = true
		p.out.Pause()
	}
	p.moved.Broadcast()
}

func (p *pipe) end(trailer http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole, p.after = true, trailer
	p.moved.Broadcast()
}

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved.Broadcast()
}

func (p *pipe) close(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over, p.err = true, err; err == nil {
		p.err = http.ErrBodyReadAfterClose
	}
	p.moved.Broadcast()
}

// read is Body.Read.
func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return 0, http.ErrBodyReadAfterClose
		case len(b) == 0:
			return 0, nil
		case len(p.unread) > 0:
			n := copy(b, p.unread)
			if p.unread = p.unread[n:]; len(p.unread) == 0 {
				p.unread = nil
			}
			if len(p.unread) < mostUnread/2 {
				p.resume()
			}
			return n, nil
		case p.broken != nil:
			return 0, p.broken
		case p.whole:
			p.trailer()
			return 0, io.EOF
		case p.over:
			return 0, p.err
		}
		p.resume()
		p.moved.Wait()
	}
}

// trailer gives the request what came in its trailer, also where h has made copies of it.
func (p *pipe) trailer() {
	if p.request.Trailer == nil {
		p.request.Trailer = p.after
	} else {
		maps.Copy(p.request.Trailer, p.after)
	}
}

// resume lets the client go on. mu is held.
func (p *pipe) resume() {
	if p.paused {
		p.paused = false
		p.out.Resume()
	}
}

// run calls the handler, on a goroutine of its own.
func (p *pipe) run(h http.Handler) {
	returned := false
	defer func() {
		_ = pipeBody{p}.Close()
		switch v := recover(); {
		case returned:
			_ = p.out.Close() // fails only if the stream has ended
		case v == nil || v == http.ErrAbortHandler: // nil: the goroutine ends
			_ = p.out.Abort()
		default:
			at := debug.Stack()
			_ = p.out.Stream().Post(func() { panic(fmt.Errorf("%v, in a Blocking handler:\n%s", v, at)) })
		}
	}()
	h.ServeHTTP(&blockingWriter{p}, p.request)
	returned = true
}

// pipeBody is the Body of the request.
type pipeBody struct{ p *pipe }

// Read implements io.Reader.
func (b pipeBody) Read(to []byte) (int, error) { return b.p.read(to) }

// Close implements io.Closer. The client is held up until the response is complete, and what it sends then is dropped.
func (b pipeBody) Close() error {
	p := b.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed, p.unread = true, nil; !p.whole && !p.paused {
		p.paused = true
		p.out.Pause()
	}
	return nil
}

// blockingWriter is the ResponseWriter of a Blocking handler.
type blockingWriter struct{ p *pipe }

// Header implements http.ResponseWriter.
func (w *blockingWriter) Header() http.Header { return w.p.out.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *blockingWriter) WriteHeader(status int) { w.p.out.WriteHeader(status) }

// Write implements http.ResponseWriter.
func (w *blockingWriter) Write(b []byte) (n int, err error) {
	for first := true; first || n < len(b); first = false {
		if err := w.wait(); err != nil {
			return n, err
		}
		piece := b[n:min(n+maxPiece, len(b))]
		k, err := w.p.out.Write(piece)
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// maxPiece is the largest part of a response that is written at once, in bytes.
const maxPiece = 64 << 10

// wait returns when the client takes what is written, or with the error that ended the exchange.
func (w *blockingWriter) wait() error {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.over && !p.out.Writable() {
		p.moved.Wait()
	}
	if p.over {
		return p.err
	}
	return nil
}

// Flush implements http.Flusher.
func (w *blockingWriter) Flush() { _ = w.FlushError() }

// FlushError implements what http.ResponseController calls.
func (w *blockingWriter) FlushError() error {
	if err := w.wait(); err != nil {
		return err
	}
	return w.p.out.FlushError()
}

var _ http.Flusher = (*blockingWriter)(nil)

// everything asks for parts of every request.
func everything(*http1.Request) bool { return true }
