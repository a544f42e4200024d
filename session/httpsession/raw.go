package httpsession

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// RawHandler serves fn on streams, as Handler does an http.Handler, without the types of net/http: a request is not copied,
// and a request and its response allocate nothing. It is for services whose answers are cheaper than an http.Request.
//
//	h := httpsession.RawHandler(func(x *httpsession.RawExchange) {
//		switch string(x.Request.Path()) {
//		case "/health":
//			_ = x.Response.Add("Content-Type", "text/plain")
//			_, _ = x.Response.WriteString("ok\n")
//		default:
//			x.Response.Status = http.StatusNotFound
//		}
//	}, nil)
//
// fn runs on the stream's loop, with a whole request, and must not block. The response is sent when it returns, with a
// Content-Length, a Date unless fn has added one, and Connection where that is needed. What is refused, and how, limits and
// timeouts are as with Handler: OPTIONS * is answered without fn, and so is a request with an expectation other than
// 100-continue, which is answered with 417; a client that expects 100 Continue gets that; an invalid request is answered with a
// status such as 400. A response that cannot be sent is replaced by a 500 and logged. A panic of fn resets the connection, and
// is not logged if it is http.ErrAbortHandler.
//
// Content in parts, trailers of responses, 1xx and other protocols on the same stream need a Handler; ServerOptions.Parts is
// ignored. RawHandler panics if fn is nil. o may be nil.
func RawHandler(fn func(x *RawExchange), o *ServerOptions) session.Handler {
	if fn == nil {
		panic("httpsession: RawHandler without a function")
	}
	h := &rawHandler{fn: fn}
	if o != nil {
		h.options = *o
	}
	h.options.Parts = nil
	h.answers = h.options.answers()
	return h
}

// RawExchange is a request and the response to it. It belongs to the function of RawHandler until that returns, on the
// stream's loop, and so does everything that it refers to.
type RawExchange struct {
	Request  *http1.RawRequest
	Response http1.RawResponse

	stream  *session.Stream
	scratch []byte
	pieces  [2][]byte // head and content, where the content is not copied behind the head
}

// Stream returns the connection's stream, for its addresses, its Value and its TLS. It must not be given to somebody else, by
// Detach or SetHandler.
func (x *RawExchange) Stream() *session.Stream { return x.stream }

// rawHandler gives each of its streams a rawConn.
type rawHandler struct {
	handler
	fn        func(*RawExchange)
	exchanges sync.Pool // of *RawExchange
}

// OnOpen implements session.Handler.
func (h *rawHandler) OnOpen(s *session.Stream) {
	codec := rawRequests{http1.RawRequests{Limits: h.options.Limits}, nil}
	codec.decoder = codec.NewRawRequestDecoder()
	c := &rawConn{of: h, decoder: codec.decoder}
	c.FrameHandler = session.Frames(codec, c.serve)
	c.Invalid = c.refuse
	c.MessageTimeout = max(h.options.MessageTimeout, 0)
	c.timed = conn{of: &h.handler, pending: c.pending}
	c.timed.times = h.options.newTimes()
	s.SetHandler(c)
	c.timed.watch(s)
}

// rawRequests is a codec whose only decoder is known.
type rawRequests struct {
	http1.RawRequests
	decoder *http1.RawRequestDecoder
}

// NewDecoder implements frame.Codec.
func (c rawRequests) NewDecoder() frame.Decoder[*http1.RawRequest] { return c.decoder }

// Append implements frame.Codec. A server sends no requests.
func (rawRequests) Append(dst []byte, _ *http1.RawRequest) ([]byte, error) {
	return dst, errors.ErrUnsupported
}

// rawConn is the Handler of one stream.
type rawConn struct {
	*session.FrameHandler[*http1.RawRequest]
	of       *rawHandler
	decoder  *http1.RawRequestDecoder
	timed    conn         // for its timeouts
	exchange *RawExchange // while OnData runs
}

func (c *rawConn) pending() bool { return c.decoder.Pending() != nil }

// OnData implements session.Handler.
func (c *rawConn) OnData(s *session.Stream) {
	x, ok := c.of.exchanges.Get().(*RawExchange)
	if !ok {
		x = new(RawExchange)
	}
	c.exchange = x
	c.FrameHandler.OnData(s)
	c.exchange = nil
	c.decoder.Release()
	x.forget()
	c.of.exchanges.Put(x)
	c.timed.watch(s)
	if r := c.decoder.Pending(); r != nil && !understoodRaw(r) {
		c.end(s, r, http.StatusExpectationFailed) // before its content arrives
	}
}

// forget prepares x for another stream. It keeps nothing of the present one, and little memory.
func (x *RawExchange) forget() {
	x.stream, x.Request = nil, nil
	x.Response.Reset()
	if cap(x.scratch) > mostSpare {
		x.scratch = nil
	}
}

// understoodRaw is understood for a RawRequest.
func understoodRaw(r *http1.RawRequest) bool {
	if !r.Expects() {
		return true
	}
	for name, value := range r.Fields() {
		if strings.EqualFold(string(name), "Expect") && !strings.EqualFold(string(value), "100-continue") {
			return false
		}
	}
	return true
}

// serve answers one request.
func (c *rawConn) serve(s *session.Stream, r *http1.RawRequest) {
	c.timed.times.serves++
	x := c.exchange
	x.stream, x.Request = s, r // r is what is answered, whatever fn makes of x.Request
	x.Response.Reset()
	switch {
	case !understoodRaw(r):
		c.end(s, r, http.StatusExpectationFailed)
		return
	case string(r.Method) == http.MethodOptions && string(r.Target) == "*":
	case !c.call(s, x):
		return
	}
	c.answer(s, x, r)
}

// call calls the user's function. It reports false if that has aborted the connection.
func (c *rawConn) call(s *session.Stream, x *RawExchange) (returned bool) {
	defer func() {
		if !returned {
			aborts(s, recover())
		}
	}()
	c.of.fn(x)
	return true
}

// aborts follows a panic with v, or the end of the goroutine if that is nil. http.ErrAbortHandler ends the connection and
// nothing else.
func aborts(s *session.Stream, v any) {
	switch v {
	case nil:
	case http.ErrAbortHandler:
		_ = s.Abort()
	default:
		panic(v)
	}
}

// largeContent is the least content that is not copied behind its head, in bytes.
const largeContent = 4 << 10

// answer sends the response, or a 500 if it cannot be sent.
func (c *rawConn) answer(s *session.Stream, x *RawExchange, r *http1.RawRequest) {
	if x.Response.Date == "" {
		x.Response.Date = c.of.dates.at(session.Lately(s)).text
	}
	head, content, err := x.Response.AppendHead(x.scratch[:0], r, c.of.answers)
	if err != nil {
		c.failed(s, r, err)
		return
	}
	if len(content) <= largeContent {
		head = append(head, content...)
		_, err = s.Write(head)
	} else {
		x.pieces = [2][]byte{head, content}
		_, err = s.Writev(x.pieces[:])
		x.pieces = [2][]byte{}
	}
	x.scratch = head
	c.decoder.Resume() // behind a CONNECT
	c.timed.sent(s, err, x.Response.KeepAlive(r))
}

// failed sends a 500 for a request whose response cannot be sent.
func (c *rawConn) failed(s *session.Stream, r *http1.RawRequest, err error) {
	session.Logger(s).Error("httpsession: a handler has made an answer that cannot be sent; the client gets a 500",
		"loop", s.Loop(), "stream", s.ID(), "method", string(r.Method), "path", string(r.Path()), "error", err)
	c.end(s, r, http.StatusInternalServerError)
}

// end sends a last answer and closes in stages.
func (c *rawConn) end(s *session.Stream, r *http1.RawRequest, status int) {
	answer := bare(status)
	answer.Request = &http.Request{Method: string(r.Method), ProtoMajor: 1, ProtoMinor: r.Minor}
	_ = session.WriteFrame(s, http1.Responses{}, answer) // fails only if the stream has ended, or has no room
	_ = session.CloseInStages(s)
}

// refuse answers an invalid request.
func (c *rawConn) refuse(s *session.Stream, _ *frame.Error) {
	if status := c.decoder.Status(); status != 0 {
		_ = session.WriteFrame(s, http1.Responses{}, bare(status)) // fails only if the stream has ended
	}
}

// OnEOF implements session.Handler.
func (c *rawConn) OnEOF(s *session.Stream) { _ = s.Close() } // also with AllowHalfClose
