package http1

import (
	"net/url"

	"github.com/tandem-io/tandem/frame"
)

// Requests is the codec of requests. Its zero value has default limits.
type Requests struct {
	Limits Limits
	// Parts is called with the head of each request that has content. If it reports true, the content is delivered in
	// parts, as Part says, and Limits.PartsBytes takes the place of Limits.BodyBytes. Default nil: requests are whole.
	Parts func(*Request) bool
}

const requestCodec = "http1 request"

var _ frame.Codec[*Request] = Requests{}

// NewDecoder returns a *RequestDecoder.
func (c Requests) NewDecoder() frame.Decoder[*Request] { return c.NewRequestDecoder() }

// NewRequestDecoder returns a decoder of the requests of one client.
func (c Requests) NewRequestDecoder() *RequestDecoder {
	d := &RequestDecoder{parted: c.Parts}
	d.reset(d, requestCodec, c.Limits.resolved(), false)
	return d
}

// MaxSize returns the sum of the limits in bytes: all but HeadLines.
func (c Requests) MaxSize() int { return c.Limits.maxSize() }

// RequestDecoder finds requests in the bytes of a client. One goroutine at a time may use it.
type RequestDecoder struct {
	decoder
	message *receivedRequest
	parted  func(*Request) bool
}

// Decode implements frame.Decoder. An empty line in front of a request is consumed.
func (d *RequestDecoder) Decode(p []byte) (m *Request, n, need int, err error) {
	if n, need, err = d.decode(p); err != nil || need > 0 {
		return nil, n, need, err
	}
	return d.part(), n, 0, nil
}

// End implements frame.Decoder. The end of the stream does not end a request, so ok is always false.
func (d *RequestDecoder) End(p []byte) (m *Request, ok bool, err error) {
	_, err = d.end(p)
	return nil, false, err
}

// Pending returns the request whose head has been received but whose content has not, or nil. It is the message that
// Decode will return, without Content and Body. A server uses it to answer 100 Continue, or to refuse the request early.
func (d *RequestDecoder) Pending() *Request {
	if d.message == nil || d.failed != nil {
		return nil
	}
	return &d.message.message
}

// Status returns the status with which a server should answer before it closes, when Decode or End has returned an error:
// 400, 413, 414, 431, 501 or 505. It is 0 if there was no error.
func (d *RequestDecoder) Status() int { return d.status }

// Switch is called when the server has answered 101, or 2xx to CONNECT, which ends HTTP. Decode consumes nothing from then
// on.
func (d *RequestDecoder) Switch() {
	if d.failed == nil {
		d.state = atSwitched
	}
}

// Resume is called when a CONNECT has been answered and HTTP goes on. Until then Decode consumes nothing behind a CONNECT,
// because the following bytes may belong to the tunnel. Call Decode afterwards: bytes may already have been received.
func (d *RequestDecoder) Resume() {
	if d.state == atHeld {
		d.state = atHead
	}
}

// Reset returns the decoder to its initial state, for a new connection.
func (d *RequestDecoder) Reset() {
	d.reset(d, d.codec, d.limits, false)
	d.message = nil
}

func (d *RequestDecoder) open() *fault { return nil }

func (d *RequestDecoder) inParts() bool { return d.parted != nil && d.parted(&d.message.message) }

// begin is RFC 9112, section 6.3, for requests.
func (d *RequestDecoder) begin(head []byte) (state, *fault) {
	m, f := d.head.build(head)
	if f != nil {
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

// Prompt implements frame.Prompter: a client that waits for it gets 100 Continue, once for each request. Whoever gets a
// request in parts sends that itself, when it wants the content.
func (d *RequestDecoder) Prompt() []byte {
	r := d.Pending()
	if r == nil || d.parts.on || d.message.prompted || !r.ExpectsContinue() {
		return nil
	}
	d.message.prompted = true
	return continues
}

var continues = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// part returns the part that has come, or the whole request.
func (d *RequestDecoder) part() *Request {
	if !d.parts.on || d.state == atWhole && !d.parts.first {
		return d.finish()
	}
	r := &d.message.message
	r.Part, r.Content = d.parts.next(false)
	return r
}

func (d *RequestDecoder) finish() *Request {
	m := d.message
	if d.parts.on {
		m.message.Part = Last
	}
	d.message = nil
	after := atHead
	switch {
	case d.head.request.connect:
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
