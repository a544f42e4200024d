package httpsession

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// Handler serves h on streams, for health checks, metrics and the like beside the real work of the loop.
//
//	mux := http.NewServeMux()
//	mux.Handle("/debug/vars", expvar.Handler())
//	l, err := t.Listen("tcp", "127.0.0.1:8080", httpsession.Handler(mux, nil), nil)
//
// h runs on the stream's loop, with a whole request, and must not block: every other stream of the loop waits meanwhile.
// What it writes is sent when it returns, including trailers, or at a Flush: from then on the response comes in parts. The
// ResponseWriter is an http.Hijacker, too. For a response that goes on when h has returned there is [StartAsync], for a handler
// that blocks [Blocking], for content that is larger than memory ServerOptions.Parts, and for another protocol on the same stream
// [HandOver].
//
// When h returns, the request's Body is closed, its context is cancelled, and the ResponseWriter returns errors. As in
// net/http, the context has http.LocalAddrContextKey and http.ServerContextKey, whose *http.Server has only its Handler
// set; OPTIONS * is answered without h; and a panic with http.ErrAbortHandler resets the connection without a log entry.
//
// An invalid request is answered with a status such as 400. The connection then closes in stages, so that a client that is
// still sending can read the answer. A response of h that cannot be encoded, or exceeds ServerOptions.AnswerBytes, is
// replaced by a 500 and logged. Idle connections stay open, unless ListenOptions has an IdleTimeout. Handler panics if h is
// nil. o may be nil.
func Handler(h http.Handler, o *ServerOptions) session.Handler {
	if h == nil {
		panic("httpsession: Handler without an http.Handler")
	}
	var mine ServerOptions
	if o != nil {
		mine = *o
	}
	if _, all := h.(*blocking); all && mine.Parts == nil {
		mine.Parts = everything
	}
	return &handler{http: h, options: mine, answers: mine.answers(), server: &http.Server{Handler: h}}
}

// answers returns the limits of responses.
func (o *ServerOptions) answers() http1.Limits {
	answers := o.Limits
	if answers.BodyBytes = o.AnswerBytes; answers.BodyBytes == 0 {
		answers.BodyBytes = int(^uint(0) >> 1)
	}
	return answers
}

// handler gives each of its streams a conn.
type handler struct {
	session.BaseHandler
	http    http.Handler
	options ServerOptions
	answers http1.Limits
	server  *http.Server // for contexts
	dates   dates
	spares  sync.Pool // of *spare
}

// OnOpen implements session.Handler.
func (h *handler) OnOpen(s *session.Stream) {
	requests := http1.Requests{Limits: h.options.Limits, Parts: h.options.Parts}
	c := &conn{of: h, decoder: requests.NewRequestDecoder()}
	c.pending = c.isPending
	c.FrameHandler = session.Frames(knownDecoder[*http1.Request]{requests, c.decoder}, c.serve)
	c.Invalid = c.refuse
	c.MessageTimeout = max(h.options.MessageTimeout, 0)
	ctx := context.WithValue(context.Background(), http.ServerContextKey, h.server)
	c.context = context.WithValue(ctx, http.LocalAddrContextKey, s.LocalAddr())
	c.tls = tlsOf(s)
	c.times = h.options.newTimes()
	s.SetHandler(c)
	c.watch(s)
}

// conn is the Handler of one stream.
type conn struct {
	*session.FrameHandler[*http1.Request]
	of      *handler
	decoder *http1.RequestDecoder
	pending func() bool    // whether the head of a request has come, and its content has not
	seen    *http1.Request // the last request that was checked before its content arrived
	context context.Context
	tls     *tls.ConnectionState // nil: the stream is plain
	remote  string               // address of the client; "": not asked for yet
	spare   *spare               // while OnData runs, and no answer has it

	current *answer // of an exchange that goes on when its http.Handler has returned; nil: none does
	times   times
}

// OnData implements session.Handler.
func (c *conn) OnData(s *session.Stream) {
	if w := c.current; w != nil && w.live.received {
		c.hold(s, w)
		return
	}
	c.spare, _ = c.of.spares.Get().(*spare)
	c.FrameHandler.OnData(s)
	if c.spare != nil {
		c.of.spares.Put(c.spare)
		c.spare = nil
	}
	c.watch(s)
	r := c.decoder.Pending()
	if r == nil || r.Part != http1.Whole {
		c.seen = nil // what was served has its time behind it
		return
	}
	if r == c.seen {
		return
	}
	if c.seen = r; !understood(r.Request) { // before its content arrives
		c.end(s, answerTo(r.Request, bare(http.StatusExpectationFailed)))
	}
}

func (c *conn) isPending() bool { return c.decoder.Pending() != nil }

// understood reports whether a request has no expectation other than 100-continue. RFC 9110, section 10.1.1.
func understood(r *http.Request) bool {
	for _, expectation := range r.Header["Expect"] {
		if !strings.EqualFold(expectation, "100-continue") { // without spaces around it; strings.TrimSpace knows more than HTTP does
			return false
		}
	}
	return true
}

// serve answers one request.
func (c *conn) serve(s *session.Stream, r *http1.Request) {
	if !r.Part.Begins() {
		c.piece(s, r)
		return
	}
	if c.remote == "" {
		c.remote = s.RemoteAddr().String()
	}
	r.RemoteAddr = c.remote
	c.times.serves++
	switch {
	case !understood(r.Request):
		c.end(s, answerTo(r.Request, bare(http.StatusExpectationFailed)))
		return
	case r.Method == http.MethodOptions && r.RequestURI == "*":
		_ = c.answer(s, answerTo(r.Request, &http1.Response{Response: &http.Response{StatusCode: http.StatusOK, Close: r.Part == http1.First}}))
		return
	}
	w := newAnswer(s, c, r.Request)
	if r.Part == http1.First {
		w.live, w.early, w.expects = &life{}, true, r.ExpectsContinue()
		c.current = w
	}
	switch {
	case !c.call(s, w, r):
	case w.live.isAsync():
		c.stays(s, w)
	case !w.finish(): // the connection belongs to somebody else
		c.current = nil
		c.times.leave()
	case w.live != nil || w.begun() != nil:
		c.finishes(s, w)
	default:
		response, err := w.response()
		if err != nil {
			c.failed(s, r.Request, err)
			return
		}
		_ = c.answer(s, response)
		c.spare = w.giveBack()
	}
}

// call calls the user's handler. It reports false if the handler has aborted the connection.
func (c *conn) call(s *session.Stream, w *answer, r *http1.Request) (returned bool) {
	defer func() {
		if returned && w.live.isAsync() {
			w.live.cancel = w.context.end
		} else {
			w.context.end()
		}
	}()
	asked := r.Request.WithContext(&w.context)
	asked.TLS = c.tls
	if r.Part == http1.First {
		w.body = &inParts{}
		asked.Body = w.body
	} else if len(r.Content) > 0 {
		body := &content{rest: r.Content}
		defer body.Close()
		asked.Body = body
	}
	defer func() {
		if returned {
			return
		}
		w.silence() // otherwise a goroutine of the handler could write without end
		aborts(s, recover())
	}()
	c.of.http.ServeHTTP(w, asked)
	return true
}

// answer sends a response, or a 500 if it cannot be encoded. An error says that it was not sent.
func (c *conn) answer(s *session.Stream, response *http1.Response) error {
	err := session.WriteFrame(s, http1.Responses{Limits: c.of.answers}, response)
	if isWrong(err) { // such as a header with a line feed in it
		c.failed(s, response.Request, err)
		return err
	}
	behind(c.decoder, response)
	c.sent(s, err, response.KeepAlive())
	return err
}

// isWrong reports whether err is that of a codec.
func isWrong(err error) bool {
	if err == nil {
		return false
	}
	var wrong *frame.Error
	return errors.As(err, &wrong)
}

// sent follows the Write of a response, behind which the connection goes on or does not.
func (c *conn) sent(s *session.Stream, err error, keeps bool) {
	c.watchWrites(s)
	switch {
	case errors.Is(err, session.ErrWriteBufferFull):
		session.Logger(s).Warn("httpsession: an answer has no room in the queue, behind others that the client does not read; the connection is reset",
			"loop", s.Loop(), "stream", s.ID(), "queued", s.Queued())
		_ = s.AbortWith(err) // otherwise later responses would be taken for this one
	case err != nil:
		_ = s.Close() // it has failed: what the client has sent ahead is not served, because nobody would get the answers
	case !keeps:
		_ = session.CloseInStages(s)
	}
}

// failed sends a 500 for a request whose handler has made an invalid response.
func (c *conn) failed(s *session.Stream, r *http.Request, err error) {
	session.Logger(s).Error("httpsession: a handler has made an answer that cannot be sent; the client gets a 500",
		"loop", s.Loop(), "stream", s.ID(), "method", r.Method, "path", r.URL.Path, "error", err)
	c.end(s, answerTo(r, bare(http.StatusInternalServerError)))
}

// end sends a last answer and closes in stages.
func (c *conn) end(s *session.Stream, response *http1.Response) {
	_ = session.WriteFrame(s, http1.Responses{}, response) // fails only if the stream has ended, or has no room
	_ = session.CloseInStages(s)
}

// refuse answers an invalid request.
func (c *conn) refuse(s *session.Stream, _ *frame.Error) {
	status := c.decoder.Status()
	if w := c.current; w != nil && !w.silence() {
		status = 0 // its response has begun
	}
	if status != 0 {
		_ = session.WriteFrame(s, http1.Responses{}, bare(status)) // fails only if the stream has ended
	}
}
