package httpsession

import (
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// Ask returns a Handler for one stream to an HTTP server: of Dial or Connect. It sends q when the stream is open, and calls
// answered once, on the stream's loop: with the response, or with the error for which there is none. It is for a connection
// that is to carry another protocol afterwards. If the response has Switched, answered gives the stream another handler, by
// SetHandler, or ends it. Bytes behind the response are that handler's, also those that have come already; its OnOpen is not
// called. After any other response the stream is closed when answered returns.
//
// Interim responses are skipped. The response's Content is valid until answered returns. Of o, which may be nil, Limits and
// MessageTimeout are used. Ask copies what it needs of q, and fails if q cannot be encoded.
func Ask(q *http1.Request, o *ClientOptions, answered func(s *session.Stream, r *http1.Response, err error)) (session.Handler, error) {
	if answered == nil {
		return nil, errors.New("httpsession: ask: no function for the response")
	}
	var mine ClientOptions
	if o != nil {
		mine = *o
	}
	wire, err := http1.Requests{}.Append(nil, q)
	if err != nil {
		return nil, err
	}
	responses := http1.Responses{Limits: mine.Limits}
	a := &ask{wire: wire, upgrade: len(q.Header["Upgrade"]) > 0, decoder: responses.NewResponseDecoder(), answered: answered}
	a.decoder.Expect(methodOf(q))
	a.FrameHandler = session.Frames(knownDecoder[*http1.Response]{responses, a.decoder}, a.response)
	a.MessageTimeout = max(mine.MessageTimeout, 0)
	return a, nil
}

func methodOf(q *http1.Request) string {
	if q.Method == "" {
		return http.MethodGet
	}
	return q.Method
}

// ask is the Handler of one stream, until there is a response.
type ask struct {
	*session.FrameHandler[*http1.Response]
	wire     []byte
	upgrade  bool // whether the request asks for another protocol
	decoder  *http1.ResponseDecoder
	answered func(s *session.Stream, r *http1.Response, err error)
	eof      bool
}

// OnOpen implements session.Handler.
func (a *ask) OnOpen(s *session.Stream) {
	_, err := s.Write(a.wire)
	a.wire = nil
	if err != nil {
		_ = s.AbortWith(err)
	}
}

func (a *ask) response(s *session.Stream, r *http1.Response) {
	switch {
	case r.Interim():
		return
	case r.StatusCode == http.StatusSwitchingProtocols && !a.upgrade:
		a.end(s, nil, errUnasked)
	default:
		r.TLS = tlsOf(s)
		a.end(s, r, nil)
		if r.Switched() {
			return
		}
	}
	_ = s.Close()
}

// end calls answered, once.
func (a *ask) end(s *session.Stream, r *http1.Response, err error) {
	if answered := a.answered; answered != nil {
		a.answered = nil
		answered(s, r, err)
	}
}

// OnEOF implements session.Handler.
func (a *ask) OnEOF(s *session.Stream) {
	a.eof = true
	_ = s.Close() // also with AllowHalfClose
}

// OnClose implements session.Handler.
func (a *ask) OnClose(s *session.Stream, err error) {
	a.wire = nil
	var wrong *frame.Error
	switch {
	case err == nil && a.eof, errors.As(err, &wrong) && errors.Is(err, io.ErrUnexpectedEOF):
		err = io.ErrUnexpectedEOF
	case err == nil:
		err = net.ErrClosed
	}
	a.end(s, nil, err)
}

var errUnasked = errors.New("httpsession: the server switched protocols, and nobody had asked for that")
