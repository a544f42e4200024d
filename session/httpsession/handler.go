package httpsession

import (
	"errors"
	"net/http"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// Handler serves h on streams: health checks, figures, a switch or two, beside what the loop really does.
//
//	mux := http.NewServeMux()
//	mux.Handle("/debug/vars", expvar.Handler())
//	l, err := t.Listen("tcp", "127.0.0.1:8080", httpsession.Handler(mux, nil), nil)
//
// h runs on the stream's loop, with a whole request, and must not block: every other stream of the loop waits meanwhile.
// What it writes is sent when it returns. Hijack and Flush are not there. The request's Body and the ResponseWriter are
// h's until it returns.
//
// What is no request is answered by a status such as 400, and the connection closes. Connections that carry nothing stay
// open unless IdleTimeout of ListenOptions says otherwise. o may be nil.
func Handler(h http.Handler, o *ServerOptions) session.Handler {
	var mine ServerOptions
	if o != nil {
		mine = *o
	}
	return &handler{http: h, limits: mine.Limits}
}

// handler gives each of its streams a conn.
type handler struct {
	session.BaseHandler
	http   http.Handler
	limits http1.Limits
}

// OnOpen implements session.Handler.
func (h *handler) OnOpen(s *session.Stream) {
	requests := http1.Requests{Limits: h.limits}
	c := &conn{of: h, decoder: requests.NewRequestDecoder()}
	c.FrameHandler = session.Frames(knownDecoder[*http1.Request]{requests, c.decoder}, c.serve)
	c.Invalid = c.refuse
	s.SetHandler(c)
}

// conn is the Handler of one stream.
type conn struct {
	*session.FrameHandler[*http1.Request]
	of        *handler
	decoder   *http1.RequestDecoder
	continued *http1.Request // that got 100 Continue
}

// OnData implements session.Handler.
func (c *conn) OnData(s *session.Stream) {
	c.FrameHandler.OnData(s)
	if r := c.decoder.Pending(); r != nil && r != c.continued && r.ExpectsContinue() {
		c.continued = r
		_ = session.WriteFrame(s, http1.Responses{}, interim()) // fails only if the stream has ended
	}
}

// serve answers one request.
func (c *conn) serve(s *session.Stream, r *http1.Request) {
	w := &answer{header: http.Header{}}
	if at := s.RemoteAddr(); at != nil {
		r.RemoteAddr = at.String()
	}
	c.of.http.ServeHTTP(w, r.Request)
	response := w.response(r.Request)
	err := session.WriteFrame(s, http1.Responses{Limits: c.of.limits}, response)
	var wrong *frame.Error
	if errors.As(err, &wrong) { // h made what is no response, such as a header with a line feed in it
		response = answerTo(r.Request, bare(http.StatusInternalServerError))
		err = session.WriteFrame(s, http1.Responses{}, response)
	}
	behind(c.decoder, response)
	switch {
	case err != nil:
		_ = s.Abort() // the response has no room, and without it the next ones would be taken for it
	case !response.KeepAlive():
		_ = s.Close()
	}
}

// refuse answers what is no request.
func (c *conn) refuse(s *session.Stream, _ *frame.Error) {
	if status := c.decoder.Status(); status != 0 {
		_ = session.WriteFrame(s, http1.Responses{}, bare(status)) // fails only if the stream has ended
	}
}
