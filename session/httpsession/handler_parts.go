package httpsession

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// mostDropped is how much content that no handler wants is received, in bytes, so that the connection can go on. net/http has
// the same limit.
const mostDropped = 256 << 10

// stays follows the return of an http.Handler that has called StartAsync.
func (c *conn) stays(s *session.Stream, w *answer) {
	w.mu.Lock()
	if w.live.wantsContent() && !w.paused && w.sent == nil {
		w.proceed()
	}
	w.mu.Unlock()
	c.watchWrites(s)
	c.hold(s, w)
}

// hold keeps the next request waiting while an exchange goes on. As long as none has come, the stream is read, so that the
// client's end shows.
func (c *conn) hold(s *session.Stream, w *answer) {
	if w.live.received && !w.live.over && s.Buffered() > 0 {
		s.PauseRead()
	}
}

// piece takes a part of a request's content, behind its head.
func (c *conn) piece(s *session.Stream, r *http1.Request) {
	w := c.current
	if w == nil {
		return // the connection is on its way to somebody else
	}
	last := r.Part == http1.Last
	switch l := w.live; {
	case !l.over && w.isDone(): // finishes is about to be called
	case !l.wantsContent() || l.over:
		if l.dropped += int64(len(r.Content)); l.dropped > mostDropped && !last {
			c.giveUp(s, errTooMuch)
			return
		}
	case len(r.Content) > 0:
		if !c.guarded(s, func() { l.events.Data(r.Content) }) {
			return
		}
	}
	if last {
		c.whole(s, w, r.Trailer)
	}
}

// whole follows the last part of a request.
func (c *conn) whole(s *session.Stream, w *answer, trailer http.Header) {
	w.live.received = true
	w.mu.Lock()
	w.early = false
	w.mu.Unlock()
	if end := w.live.events.End; end != nil && !w.isDone() && !c.guarded(s, func() { end(trailer) }) {
		return
	}
	if w.live.over {
		c.current = nil
		return
	}
	c.hold(s, w)
}

// isDone reports whether the handler has ended its response, and wants nothing more of the request.
func (a *answer) isDone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.returned
}

// giveUp ends the connection because of what the client sends behind the head of its request, or does not. A response that has
// begun and is not complete is cut off by a reset, so that the client cannot take it for whole.
func (c *conn) giveUp(s *session.Stream, err error) {
	w := c.current
	c.current = nil
	if w.live.over || w.silence() {
		_ = session.CloseInStages(s)
	} else {
		_ = s.AbortWith(err)
	}
	w.live.tell(err)
}

var errTooMuch = fmt.Errorf("httpsession: more than %d bytes of content came that no handler wanted", mostDropped)

// guarded calls a function of AsyncEvents. It reports false if that has aborted the connection, by http.ErrAbortHandler.
func (c *conn) guarded(s *session.Stream, fn func()) (done bool) {
	defer func() {
		if done {
			return
		}
		aborts(s, recover())
	}()
	fn()
	return true
}

// finishes sends what is left of a response, when its handler has ended it.
func (c *conn) finishes(s *session.Stream, w *answer) {
	if w.live == nil { // its handler has flushed
		w.live = &life{received: true}
	}
	if w.live.over {
		return
	}
	if w.begun() == nil {
		response, err := w.response()
		if err != nil {
			c.failed(s, w.asked, err)
			w.live.tell(err)
			return
		}
		response.Close = w.last()
		if err := c.answer(s, response); err != nil {
			w.live.tell(err)
			return
		}
		c.ended(s, w, response.KeepAlive())
		return
	}
	w.mu.Lock()
	err := w.finishParts()
	w.mu.Unlock()
	if err != nil {
		c.cut(s, w, err)
		return
	}
	c.watchWrites(s)
	keeps := w.begun().KeepAlive() && !w.final
	if !keeps {
		_ = session.CloseInStages(s)
	}
	c.ended(s, w, keeps)
}

// cut resets the connection, because a response that has begun cannot be completed: the client must not take it for whole.
func (c *conn) cut(s *session.Stream, w *answer, err error) {
	if !errors.Is(err, net.ErrClosed) {
		session.Logger(s).Error("httpsession: a response that has begun cannot be completed; the connection is reset",
			"loop", s.Loop(), "stream", s.ID(), "method", w.asked.Method, "path", w.asked.URL.Path, "error", err)
	}
	_ = s.AbortWith(err)
	w.live.tell(err)
}

// ended follows a response that is complete. If the connection goes on, so does its next request, behind what is left of
// this one.
func (c *conn) ended(s *session.Stream, w *answer, keeps bool) {
	w.live.tell(nil)
	w.unpause()
	switch {
	case c.current != w:
		return
	case !keeps:
		c.current = nil
		return
	case w.live.received:
		c.current = nil
	case w.expects || w.asked.ContentLength > mostDropped: // it was not known when the response began
		c.current = nil
		_ = session.CloseInStages(s)
		return
	}
	c.watch(s)
	s.ResumeRead()
}

// unpause ends a pause with its exchange: what is left of the content is dropped, in its time, and a later Resume must not take
// back a pause of the next exchange.
func (a *answer) unpause() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused = false
}

// ends has the connection end behind the response.
func (a *answer) ends() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.final = true
}

// OnEOF implements session.Handler. A client that has finished while its response goes on has left, as for net/http: unless
// AllowHalfClose is set, in which case the response goes on. The connection ends behind it, or at once if nothing goes on.
func (c *conn) OnEOF(s *session.Stream) {
	w := c.current
	switch {
	case w == nil || w.live.over:
		_ = s.Close() // also with AllowHalfClose
	case s.Options().AllowHalfClose:
		w.ends()
	default:
		_ = s.AbortWith(errLeft)
	}
}

var errLeft = fmt.Errorf("httpsession: the client has left before its response was complete: %w", io.ErrUnexpectedEOF)

// OnWritable implements session.Handler.
func (c *conn) OnWritable(s *session.Stream) {
	if w := c.current; w != nil && !w.live.over && w.live.events.Writable != nil {
		_ = c.guarded(s, w.live.events.Writable)
	}
}

// OnDrain implements session.Drainer. An exchange that goes on may end first.
func (c *conn) OnDrain(s *session.Stream) {
	w := c.current
	if w == nil || w.live.over || w.live.async == nil {
		c.FrameHandler.OnDrain(s)
		return
	}
	w.ends()
	if w.live.events.Drain != nil {
		_ = c.guarded(s, w.live.events.Drain)
	}
}

// OnClose implements session.Handler.
func (c *conn) OnClose(s *session.Stream, err error) {
	w := c.current
	if w == nil {
		return
	}
	c.current = nil
	if err == nil {
		err = net.ErrClosed
	}
	w.mu.Lock()
	w.returned = true
	w.mu.Unlock()
	w.live.tell(err)
}
