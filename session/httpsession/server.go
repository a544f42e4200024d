package httpsession

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/polled"
)

// ServerOptions are those of a Server, a Handler or a RawHandler, for which everything holds that is said of a Handler. The zero value is right for most.
type ServerOptions struct {
	// Limits bound requests and responses. Default: those of http1.Limits.
	Limits http1.Limits

	// Parts is called with the head of each request that has content. If it reports true, the content is delivered in
	// parts, as it comes: a Handler calls its http.Handler at once, which gets the content by StartAsync or as one that is
	// Blocking; a Server reads it part by part, as http1.Part says. Limits.PartsBytes bounds it then. A client that expects
	// 100 Continue gets that when the content is wanted. Default nil: requests are whole.
	Parts func(*http1.Request) bool

	// MessageTimeout is the longest time from a request's first byte to its last. A connection that takes longer ends. For a
	// request in parts it counts from the head on, and anew after Async.Pause. Default 0: none, as in net/http; set it where
	// peers are not trusted.
	MessageTimeout time.Duration

	// ReadHeaderTimeout is the longest time for the head of a request: from its first byte, and of the first request
	// from the beginning of the connection. A connection that takes longer ends. Default 0: none. Handler only.
	ReadHeaderTimeout time.Duration

	// IdleTimeout is the longest time between a response and the first byte of the next request. Default 0: none.
	// Handler only.
	IdleTimeout time.Duration

	// WriteTimeout is the longest time in which a client takes no byte of what is queued for it. The connection is reset
	// then. Default 0: none, except when the connection closes, which has StreamOptions.CloseTimeout. Handler only.
	WriteTimeout time.Duration

	// AnswerBytes limits the content of a response that is sent whole. In bytes. Default 0: no limit. Handler only.
	AnswerBytes int

	// WriteBuffer is the size of the buffer for encoded responses, as in polled.NewFramed. In bytes. Default 64 KiB. Server
	// only.
	WriteBuffer int
}

// Server is a Session that reads the requests of one client and writes the responses, in the same order. Its caller
// writes one final response for each request; it may read any number of requests first.
//
// Invalid requests are answered by the Server, with a status such as 400 or 431, when all earlier requests have their
// response; Read returns the *frame.Error. So are requests in parts that turn out to be invalid, unless their response
// has begun. A client that waits for 100 Continue gets it. The connection ends after the last response was sent: if the
// client or a response closes it, if the client has finished, or after an invalid request.
//
// With ServerOptions.Parts the same request is returned for each part of it; the Read behind the first asks for the content,
// and so sends 100 Continue. Content that is still coming behind the last response is dropped, up to 256 KiB. Responses
// may be written in parts, as http1.Part says; a client has them when the parts were sent.
type Server struct {
	framed    *polled.MessageSession[*http1.Request, *http1.Response]
	decoder   *http1.RequestDecoder
	asked     []*http.Request // requests that were read and not answered
	continued *http1.Request  // the last request that got 100 Continue
	late      lateness
	refusal   int  // status of a response to an invalid request, to be sent last; 0: none
	finished  bool // whether no more requests will be read
	last      bool // whether the last response was written
	switched  bool // whether the last response has ended HTTP
	closed    bool
	tls       *tls.ConnectionState
	within    bool  // whether the last request that was read is not whole
	dropped   int64 // bytes of its content that came behind its response
	sending   sending
}

// NewServer returns a Server on a connection, such as one of polled.Listener. o may be nil.
func NewServer(inner polled.Bytes, o *ServerOptions) *Server {
	var mine ServerOptions
	if o != nil {
		mine = *o
	}
	requests := http1.Requests{Limits: mine.Limits, Parts: mine.Parts}
	s := &Server{decoder: requests.NewRequestDecoder(), late: lateness{timeout: mine.MessageTimeout}}
	in := knownDecoder[*http1.Request]{requests, s.decoder}
	s.framed = polled.NewDuplex(inner, in, http1.Responses{Limits: mine.Limits}, mine.WriteBuffer)
	return s
}

// Status implements polled.Session.
func (s *Server) Status() polled.Status {
	if s.closed {
		return polled.Terminated
	}
	return s.framed.Status()
}

// Drive implements polled.Session. The regular end of the connection is not an error.
func (s *Server) Drive() (polled.Activity, error) {
	if s.closed {
		return polled.Idle, nil
	}
	activity, err := s.framed.Drive()
	if err != nil {
		return activity, err
	}
	if s.refusal != 0 && len(s.asked) == 0 && s.refuse() {
		activity = polled.Active
	}
	if (s.last || s.finished && s.refusal == 0 && len(s.asked) == 0) && s.framed.Queued() == 0 {
		s.closed = true
		return polled.Active, s.framed.CloseInStages() // the client may still be sending
	}
	return activity, nil
}

// refuse writes the response to an invalid request.
func (s *Server) refuse() bool {
	_, status, err := s.framed.Write(bare(s.refusal))
	if err != nil || status == polled.Success {
		s.refusal, s.last = 0, true
	}
	return s.last
}

// bare returns a last response, with the text of its status.
func bare(status int) *http1.Response {
	return &http1.Response{
		Response: &http.Response{StatusCode: status, Close: true, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}},
		Content:  []byte(http.StatusText(status) + "\n"),
	}
}

// Read implements polled.Session. The request's Content is valid until the next Read or Close. At the end of the
// connection the error is io.EOF. Behind a request that asks for another protocol, by CONNECT or Upgrade, nothing is read
// until it has its response, because what follows may not be HTTP.
func (s *Server) Read() (*http1.Request, polled.ReadStatus, error) {
	switch {
	case s.closed || s.last:
		return nil, polled.None, io.EOF
	case s.switched || !s.within && len(s.asked) > 0 && mayswitch(s.asked[len(s.asked)-1]):
		return nil, polled.None, nil
	}
	r, status, err := s.framed.Read()
	switch {
	case err != nil:
		s.finished = true
		var wrong *frame.Error
		if errors.As(err, &wrong) && err != io.EOF && s.refuses() {
			s.refusal = s.decoder.Status()
		}
		return nil, polled.None, err
	case status == polled.Data:
		return s.came(r)
	case s.late.exceeded(status):
		s.finished = true
		_ = s.Close()
		return nil, polled.None, s.late.err()
	}
	s.proceed()
	return nil, status, nil
}

// came takes a request, or a part of one. What follows a response is dropped.
func (s *Server) came(r *http1.Request) (*http1.Request, polled.ReadStatus, error) {
	s.late.came(r.Part)
	answered := !r.Part.Begins() && len(s.asked) == 0
	if r.Part.Ends() {
		s.continued = nil
	}
	if s.within = !r.Part.Ends(); answered {
		if s.dropped += int64(len(r.Content)); s.dropped > mostDropped {
			s.last = true
		}
		return nil, polled.Buffered, nil
	}
	if r.Part.Begins() {
		if s.tls == nil {
			s.tls = tlsOf(s.framed)
		}
		r.TLS = s.tls
		s.asked, s.dropped = append(s.asked, r.Request), 0
	}
	return r, polled.Data, nil
}

// refuses reports whether the Server answers a request that has turned out to be invalid: not if its response has
// begun, which happens only in parts.
func (s *Server) refuses() bool {
	switch {
	case !s.within:
		return true
	case len(s.asked) == 0, len(s.asked) == 1 && s.sending.within:
		return false
	}
	s.asked = s.asked[:len(s.asked)-1] // the refusal takes the place of its caller's answer
	return true
}

// proceed sends 100 Continue to a client that waits for it, once, and not before its earlier requests are answered.
func (s *Server) proceed() {
	r, due := s.decoder.Pending(), 0
	if s.within { // the request was read, and its content is wanted
		due = 1
	}
	if r == nil || r == s.continued || len(s.asked) != due || s.sending.within || !r.ExpectsContinue() {
		return
	}
	if _, status, err := s.framed.Write(interim()); err == nil && status == polled.Success {
		s.continued = r
	}
}

func interim() *http1.Response {
	return &http1.Response{Response: &http.Response{StatusCode: http.StatusContinue}}
}

// Write implements polled.Session: r answers the oldest request that has no response. An interim response leaves it
// without. A response that cannot be encoded, or that nobody asked for, is an error of that Write alone.
func (s *Server) Write(r *http1.Response) (rest *http1.Response, status polled.WriteStatus, err error) {
	switch {
	case len(s.asked) == 0 || s.last:
		return r, polled.Pending, errors.New("httpsession: write: there is no request to answer")
	case r == nil || r.Response == nil:
		return r, polled.Pending, fmt.Errorf("httpsession: write: no response")
	}
	answer := answerTo(s.asked[0], r)
	early := s.within && len(s.asked) == 1 // the request that is answered is not whole
	if early && answer.Switched() {
		return r, polled.Pending, fmt.Errorf("httpsession: write: %w", errEarlySwitch)
	}
	if early && r.Part == http1.Whole && !answer.Interim() && s.unread() {
		answer.Close = true
	}
	length, bare := lengthOf(r.ContentLength, r.Header), answer.Interim() || s.asked[0].Method == http.MethodHead || !allowsContent(r.StatusCode)
	if err = s.sending.check(r.Part, len(r.Content), length, bare); err != nil {
		return r, polled.Pending, err
	}
	if _, status, err = s.framed.Write(answer); err != nil || status != polled.Success {
		return r, status, err
	}
	if answer.Interim() {
		if answer.StatusCode == http.StatusContinue {
			s.continued = s.decoder.Pending()
		}
		return nil, polled.Success, nil
	}
	if s.sending.wrote(r.Part, len(r.Content), length, bare); s.sending.within {
		return nil, polled.Success, nil
	}
	if early && s.unread() {
		s.last = true
	}
	s.asked[0] = nil
	s.asked = s.asked[1:]
	behind(s.decoder, answer)
	s.switched = answer.Switched()
	s.last = s.last || !answer.KeepAlive() && !s.switched
	return nil, polled.Success, nil
}

// unread reports whether the rest of the request that is coming is not worth waiting for.
func (s *Server) unread() bool {
	r := s.decoder.Pending()
	return r != nil && (r.ExpectsContinue() && r != s.continued || r.ContentLength > mostDropped)
}

// mayswitch reports whether a request asks for another protocol. RFC 9110, sections 7.8 and 9.3.6.
func mayswitch(r *http.Request) bool {
	return r.Method == http.MethodConnect || len(r.Header["Upgrade"]) > 0
}

// answerTo returns r with the request that it answers, which decides how it is encoded.
func answerTo(asked *http.Request, r *http1.Response) *http1.Response {
	head := *r.Response
	head.Request = asked
	return &http1.Response{Response: &head, Content: r.Content, Part: r.Part}
}

// behind informs the decoder of what follows a final response.
func behind(d *http1.RequestDecoder, answer *http1.Response) {
	switch {
	case answer.Switched():
		d.Switch()
	case answer.Request != nil && answer.Request.Method == http.MethodConnect:
		d.Resume()
	}
}

// Outstanding returns the number of requests that were read and have no response.
func (s *Server) Outstanding() int { return len(s.asked) }

// Notify implements polled.Notifier. That MessageTimeout has passed is not told.
func (s *Server) Notify(fn func()) error { return s.framed.Notify(fn) }

// Flush implements polled.Session.
func (s *Server) Flush() error {
	if s.closed {
		return nil
	}
	return s.framed.Flush()
}

// Detach returns the connection as a net.Conn, with the bytes that followed the last request, as Detach of
// polled.MessageSession does: for a tunnel after CONNECT, or for another protocol after 101. Buffered responses are sent
// first. The Server ends.
func (s *Server) Detach() (net.Conn, error) {
	if s.closed {
		return nil, net.ErrClosed
	}
	c, err := s.framed.Detach()
	if err == nil {
		s.closed = true
	}
	return c, err
}

// HandOver returns the Session below, for another protocol on the same connection, once the response 101, or 2xx to CONNECT,
// was written: it reads what followed the request, and sends the responses first. The caller drives and closes it from then
// on. The Server ends.
func (s *Server) HandOver() (polled.Bytes, error) {
	switch {
	case s.closed:
		return nil, net.ErrClosed
	case !s.switched:
		return nil, errNotSwitched
	}
	b, err := s.framed.HandOver()
	if err == nil {
		s.closed = true
	}
	return b, err
}

// errEarlySwitch keeps content from being taken for another protocol.
var errEarlySwitch = errors.New("the content of the request comes in parts, and HTTP ends behind its last one")

var errNotSwitched = errors.New("httpsession: hand over: the last response has not ended HTTP")

// Close implements polled.Session.
func (s *Server) Close() error {
	s.closed = true
	return s.framed.Close()
}

var _ polled.Session[*http1.Request, *http1.Response] = (*Server)(nil)
