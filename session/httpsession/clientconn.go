package httpsession

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// ClientConn is a Handler for one stream to an HTTP server, of Dial or Connect. It carries one exchange after another, or
// several at once with ClientOptions.Pipeline, and calls a function with each response, on the stream's loop:
//
//	c := httpsession.NewClientConn(nil)
//	c.Ready = func() {
//		err := c.Do(request, func(r *http1.Response, err error) { ... })
//	}
//	c.Closed = func(err error) { ... }
//	s, err := t.Connect("tcp", address, c, nil)
//
// A server may answer while content is still being sent to it. With DialOptions.ReadWhileBlocked the answer is read
// although the server does not take what is queued; without, two sides that both wait for the other to read would wait
// for ever.
//
// The connection is not reconnected: Closed tells its end, and a program that goes on connects with another ClientConn. All
// methods belong to the stream's loop, those for sessions included; other goroutines use Stream.Post. Set the fields
// before the ClientConn gets its stream.
type ClientConn struct {
	// Ready is called when the stream has opened, and whenever more can be written: because a request was answered, the
	// server wants the content of a request in parts, or has taken what was queued. Nil: nothing is called.
	Ready func()

	// Closed is called once, last, when the connection has ended, after the functions of all exchanges. err is as for
	// OnClose of a Handler, and io.EOF if the server has finished. Nil: nothing is called.
	Closed func(err error)

	options ClientOptions
	frames  *session.FrameHandler[*http1.Response]
	decoder *http1.ResponseDecoder
	stream  *session.Stream
	flying  []*call // exchanges whose responses are due, in order
	ended   error   // why there are no more exchanges; nil: there may be
	eof     bool
	sending sending
	waits   *session.Timer // for 100 Continue; nil: the content of a request in parts may be sent
	refused bool           // the server has answered without asking for the content
}

// call is an exchange.
type call struct {
	answered func(*http1.Response, error)
	timer    *session.Timer // of ExchangeTimeout, or nil
	slow     *session.Timer // of MessageTimeout, for a response in parts, or nil
	upgrade  bool           // whether the request asks for another protocol
	parts    bool           // whether the request is in parts
}

// end calls the exchange's function for the last time.
func (x *call) end(r *http1.Response, err error) {
	for _, t := range []*session.Timer{x.timer, x.slow} {
		if t != nil {
			t.Stop()
		}
	}
	if answered := x.answered; answered != nil {
		x.answered = nil
		answered(r, err)
	}
}

// NewClientConn returns a ClientConn for one stream. Of o, which may be nil, all but WriteBuffer and TLS are used: TLS
// is up to the dial, by DialOptions.TLS.
func NewClientConn(o *ClientOptions) *ClientConn {
	c := &ClientConn{}
	if o != nil {
		c.options = *o
	}
	responses := http1.Responses{Limits: c.options.Limits, Parts: c.options.Parts}
	c.decoder = responses.NewResponseDecoder()
	c.frames = session.Frames(knownDecoder[*http1.Response]{responses, c.decoder}, c.response)
	c.frames.MessageTimeout = max(c.options.MessageTimeout, 0)
	return c
}

// Stream returns the connection's stream: to pause responses in parts, to see whether it is Writable, to close it, or
// to hand it to another protocol by SetHandler. It is nil before the stream has opened.
func (c *ClientConn) Stream() *session.Stream { return c.stream }

// InFlight returns the number of requests whose responses are not complete.
func (c *ClientConn) InFlight() int { return len(c.flying) }

// Err returns why the connection carries no more exchanges, or nil: an error that is net.ErrClosed after a request or a
// response that closes it, and ErrExchangeTimeout behind an exchange that took too long.
func (c *ClientConn) Err() error { return c.ended }

// Do writes a request, or the first part of one. answered is called with the response: once, or for each part of one in
// parts, and in front of it for interim ones if ClientOptions.Interim is set. An exchange without a response ends with
// one call with an error: such as ErrExchangeTimeout, which ends this exchange alone, or io.ErrUnexpectedEOF if the
// server has finished. The response's Content is valid until answered returns, which may call Do.
//
// Do fails with session.ErrWouldBlock before the stream has opened, while Pipeline requests are in flight, and behind a
// request whose last part has not been written; with Err when the connection carries no more exchanges; and for a
// request that cannot be encoded. Then answered is not called.
func (c *ClientConn) Do(q *http1.Request, answered func(r *http1.Response, err error)) error {
	switch {
	case answered == nil:
		return errors.New("httpsession: do: no function for the response")
	case q == nil || q.Request == nil || !q.Part.Begins():
		return errors.New("httpsession: do: no request, or not its beginning")
	case c.ended != nil:
		return c.ended
	case c.stream == nil || len(c.flying) >= max(c.options.Pipeline, 1) || c.sending.within:
		return session.ErrWouldBlock
	}
	if err := c.write(q); err != nil {
		return err
	}
	c.decoder.Expect(methodOf(q))
	x := &call{answered: answered, upgrade: len(q.Header["Upgrade"]) > 0, parts: q.Part == http1.First}
	c.flying = append(c.flying, x)
	if !q.KeepAlive() {
		c.ended = errLast
	}
	if d := c.options.ExchangeTimeout; d > 0 {
		x.timer = c.stream.After(d, func() { c.late(x) })
	}
	c.refused = false
	if d := c.options.continueTimeout(); x.parts && d > 0 && expects(q) {
		c.waits = c.stream.After(d, func() { c.proceed() })
	}
	return nil
}

var errLast = fmt.Errorf("httpsession: the connection carries no more requests: %w", net.ErrClosed)

// Write writes a part of the last request behind its first: the same request with another Part and Content. It fails with
// session.ErrWouldBlock while the server has not answered Expect: 100-continue, for ExpectContinueTimeout at most, and while
// the stream is not Writable; Ready is called then. It fails with net.ErrClosed if the server has answered without
// asking for the content.
func (c *ClientConn) Write(q *http1.Request) error {
	switch {
	case c.stream == nil || c.eof:
		return net.ErrClosed
	case c.refused:
		return errNotWanted
	case q == nil || q.Request == nil || q.Part.Begins():
		return errors.New("httpsession: write: not a part behind the first")
	case c.waits != nil || !c.stream.Writable():
		return session.ErrWouldBlock
	}
	err := c.write(q)
	if err == nil && !c.sending.within {
		c.last()
	}
	return err
}

// write writes a request, or a part of one.
func (c *ClientConn) write(q *http1.Request) error {
	length := lengthOf(q.ContentLength, q.Header)
	if err := c.sending.check(q.Part, len(q.Content), length, false); err != nil {
		return err
	}
	if err := session.WriteFrame(c.stream, http1.Requests{}, q); err != nil {
		return err
	}
	c.sending.wrote(q.Part, len(q.Content), length, false)
	return nil
}

// proceed lets the content of a request go on that waited for 100 Continue.
func (c *ClientConn) proceed() {
	if c.stopWaiting() {
		c.ready()
	}
}

// stopWaiting stops the wait for 100 Continue, and reports whether there was one.
func (c *ClientConn) stopWaiting() bool {
	if c.waits == nil {
		return false
	}
	c.waits.Stop()
	c.waits = nil
	return true
}

func (c *ClientConn) ready() {
	if c.Ready != nil {
		c.Ready()
	}
}

// late ends an exchange that takes too long. What it has sent is still answered, so the connection carries only what is in
// flight already.
func (c *ClientConn) late(x *call) {
	if c.ended == nil {
		c.ended = ErrExchangeTimeout
	}
	x.end(nil, ErrExchangeTimeout)
	c.last()
}

// last closes the connection if it carries no more exchanges, and nobody waits for a response.
func (c *ClientConn) last() {
	if c.ended == nil {
		return
	}
	for _, x := range c.flying {
		if x.answered != nil {
			return
		}
	}
	_ = c.stream.Close()
}

// response takes a response, or a part of one.
func (c *ClientConn) response(s *session.Stream, r *http1.Response) {
	x := c.flying[0]
	switch {
	case r.Interim():
		if r.StatusCode == http.StatusContinue && x.parts && len(c.flying) == 1 {
			c.proceed()
		}
		if c.options.Interim && x.answered != nil {
			x.answered(r, nil)
		}
		return
	case r.StatusCode == http.StatusSwitchingProtocols && !x.upgrade:
		_ = s.AbortWith(errUnasked)
		return
	}
	if len(c.flying) == 1 && c.stopWaiting() {
		c.refused = true
		c.ended = errLast
	}
	r.TLS = tlsOf(s)
	if d := c.options.MessageTimeout; d > 0 && r.Part == http1.First {
		x.slow = s.After(d, func() {
			_ = s.AbortWith(fmt.Errorf("httpsession: a response was not whole within %v: %w", d, os.ErrDeadlineExceeded))
		})
	}
	if !r.Part.Ends() {
		if x.answered != nil {
			x.answered(r, nil)
		}
		return
	}
	c.flying[0] = nil
	c.flying = c.flying[1:]
	unasked := len(c.flying) == 0 && s.Buffered() > 0 // what follows must not answer a request that is still to be sent
	keeps := r.KeepAlive() && !unasked
	if !keeps {
		c.ended = errLast
	}
	x.end(r, nil)
	switch {
	case r.Switched(): // the function has given the stream to another handler, or closed it
		c.leave()
	case !keeps:
		c.eof = true // the server answers nothing more
		_ = s.Close()
	case c.ended != nil:
		c.last()
	default:
		c.ready()
	}
}

// OnOpen implements session.Handler.
func (c *ClientConn) OnOpen(s *session.Stream) {
	c.stream = s
	c.ready()
}

// OnData implements session.Handler.
func (c *ClientConn) OnData(s *session.Stream) { c.frames.OnData(s) }

// OnWritable implements session.Handler.
func (c *ClientConn) OnWritable(*session.Stream) { c.ready() }

// OnEOF implements session.Handler.
func (c *ClientConn) OnEOF(s *session.Stream) {
	c.eof = true
	_ = s.Close() // also with AllowHalfClose
}

// OnClose implements session.Handler.
func (c *ClientConn) OnClose(_ *session.Stream, err error) {
	var wrong *frame.Error
	due := err
	switch {
	case err == nil && c.eof:
		err, due = io.EOF, io.ErrUnexpectedEOF
	case errors.As(err, &wrong) && errors.Is(err, io.ErrUnexpectedEOF):
		due = io.ErrUnexpectedEOF
	case err == nil:
		due = net.ErrClosed
	}
	c.eof = true
	if c.ended == nil {
		c.ended = fmt.Errorf("httpsession: the connection has ended: %w", net.ErrClosed)
	}
	defer func() {
		if c.Closed != nil {
			c.Closed(err)
		}
	}()
	behind := c.flying
	c.flying = nil
	endAll(behind, due)
}

// leave ends what is left of HTTP on a stream that has switched: no timer may touch the other protocol.
func (c *ClientConn) leave() {
	c.stopWaiting()
	behind := c.flying
	c.flying = nil
	endAll(behind, errLast)
}

// endAll ends exchanges that get no response. Each is told, also if the function of one before it panics.
func endAll(calls []*call, err error) {
	if len(calls) > 0 {
		defer endAll(calls[1:], err)
		calls[0].end(nil, err)
	}
}

var _ session.Handler = (*ClientConn)(nil)
