package http1

import (
	"bufio"
	"net/http"
	"net/url"

	"github.com/tandem-io/tandem/frame"
)

// Requests is the codec of requests. Its zero value has default limits.
type Requests struct{ Limits Limits }

const requestCodec = "http1 request"

var _ frame.Codec[*Request] = Requests{}

// NewDecoder returns a *RequestDecoder.
func (c Requests) NewDecoder() frame.Decoder[*Request] { return c.NewRequestDecoder() }

// NewRequestDecoder returns a decoder of the requests of one client.
func (c Requests) NewRequestDecoder() *RequestDecoder {
	d := new(RequestDecoder)
	d.reset(d, requestCodec, c.Limits.resolved(), false)
	return d
}

// MaxSize is the sum of the limits, but for HeadLines. In bytes.
func (c Requests) MaxSize() int { return c.Limits.maxSize() }

// RequestDecoder finds requests in the bytes of a client. One goroutine at a time may use it.
type RequestDecoder struct {
	decoder
	message *received[Request]
}

// received is a message with memory that it needs anyway, in one piece.
type received[M any] struct {
	message  M
	body     memory
	asked    http.Request // of a response
	prompted bool         // the client of a request was told to go on
}

// Decode is frame.Decoder's. An empty line in front of a request is consumed.
func (d *RequestDecoder) Decode(p []byte) (m *Request, n, need int, err error) {
	if n, need, err = d.decode(p); err != nil || need > 0 {
		return nil, n, need, err
	}
	return d.finish(), n, 0, nil
}

// End is frame.Decoder's. A request never ends because the client does, so ok is always false.
func (d *RequestDecoder) End(p []byte) (m *Request, ok bool, err error) {
	_, err = d.end(p)
	return nil, false, err
}

// Pending returns the request whose head has come while its content has not, or nil. It is the message that Decode
// will deliver, without Content and Body. A server looks at it to answer 100 Continue, or to refuse early.
func (d *RequestDecoder) Pending() *Request {
	if d.message == nil || d.failed != nil {
		return nil
	}
	return &d.message.message
}

// Status is the status that a server should answer with, before it closes, after Decode or End has returned an error:
// 400, 413, 414, 431, 501 or 505. Without an error it is 0.
func (d *RequestDecoder) Status() int { return d.status }

// Switch tells that HTTP has ended: the server has answered 101, or 2xx to CONNECT. From now on Decode consumes nothing.
func (d *RequestDecoder) Switch() {
	if d.failed == nil {
		d.state = atSwitched
	}
}

// Resume tells that a CONNECT has been answered and HTTP goes on. Until then Decode consumes nothing behind a CONNECT,
// for what the client sends next may belong to the tunnel. Call Decode again after it: there may be bytes already.
func (d *RequestDecoder) Resume() {
	if d.state == atHeld {
		d.state = atHead
	}
}

// Reset makes the decoder as new, for the first byte of a connection.
func (d *RequestDecoder) Reset() {
	d.reset(d, d.codec, d.limits, false)
	d.message = nil
}

func (d *RequestDecoder) open() *fault { return nil }

// begin is RFC 9112, section 6.3, for requests.
func (d *RequestDecoder) begin(head []byte) (state, *fault) {
	m := new(received[Request])
	f := readWith(head, func(r *bufio.Reader) (err error) {
		m.message.Request, err = http.ReadRequest(r)
		return err
	})
	if f != nil {
		return 0, f
	}
	r := m.message.Request
	r.Body = http.NoBody
	if !soundURL(r.URL) {
		return 0, malformed(0, "a request target with a user, or without a host")
	}
	if f := announced(r.Trailer); f != nil {
		return 0, f
	}
	d.message = m
	if d.head.codings > 0 {
		return atChunkLine, nil
	}
	return atLength, nil
}

// soundURL reports whether a target in absolute form has a host and no user. RFC 9110, section 4.2.
func soundURL(u *url.URL) bool {
	return u.Scheme == "" || u.User == nil && u.Host != "" && validHost(u.Host)
}

// Prompt implements frame.Prompter: a client that waits for it gets 100 Continue, once for each request.
func (d *RequestDecoder) Prompt() []byte {
	r := d.Pending()
	if r == nil || d.message.prompted || !r.ExpectsContinue() {
		return nil
	}
	d.message.prompted = true
	return continues
}

var continues = []byte("HTTP/1.1 100 Continue\r\n\r\n")

func (d *RequestDecoder) finish() *Request {
	m := d.message
	d.message = nil
	after := atHead
	switch {
	case d.head.connect:
		after = atHeld
	case m.message.Close:
		after = atEnded
	}
	content, trailer := d.next(after)
	m.message.Content = content
	m.message.Body = bodyOf(&m.body, content)
	m.message.Trailer = merged(m.message.Trailer, trailer)
	return &m.message
}
