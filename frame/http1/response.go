package http1

import (
	"bufio"
	"net/http"

	"github.com/tandem-io/tandem/frame"
)

// Responses is the codec of responses. Its zero value has default limits.
type Responses struct {
	Limits Limits
	// Assume is the method of requests for which Expect was not called. Set it if all requests have the same method and
	// Expect cannot be called. Default "": a response without a call of Expect is an error.
	Assume string
	// Parts is called with the head of each response that has content. If it reports true, the content is delivered in
	// parts, as Part says, and Limits.PartsBytes takes the place of Limits.BodyBytes. Default nil: responses are whole.
	Parts func(*Response) bool
}

const responseCodec = "http1 response"

var _ frame.Codec[*Response] = Responses{}

// NewDecoder returns a *ResponseDecoder.
func (c Responses) NewDecoder() frame.Decoder[*Response] { return c.NewResponseDecoder() }

// NewResponseDecoder returns a decoder of the responses of one server.
func (c Responses) NewResponseDecoder() *ResponseDecoder {
	d := &ResponseDecoder{assume: c.Assume, parted: c.Parts}
	d.reset(d, responseCodec, c.Limits.resolved(), true)
	return d
}

// MaxSize returns the sum of the limits in bytes: all but HeadLines.
func (c Responses) MaxSize() int { return c.Limits.maxSize() }

// ResponseDecoder finds responses in the bytes of a server. One goroutine at a time may use it.
type ResponseDecoder struct {
	decoder
	message *receivedResponse
	parted  func(*Response) bool
	assume  string
	asked   []string // asked[first:] are the methods of unanswered requests, oldest first
	first   int
}

// receivedResponse is a response in one allocation with what it refers to.
type receivedResponse struct {
	message Response
	body    memory
	asked   http.Request
}

// Expect is called for each request, in order, before the call of Decode that may receive its response. method is that of
// the request.
func (d *ResponseDecoder) Expect(method string) {
	if d.first > len(d.asked)/2 { // what has been answered makes room
		d.asked = d.asked[:copy(d.asked, d.asked[d.first:])]
		d.first = 0
	}
	d.asked = append(d.asked, method)
}

// Outstanding returns the number of requests without a final response.
func (d *ResponseDecoder) Outstanding() int { return len(d.asked) - d.first }

// Decode implements frame.Decoder. Interim responses are messages too, and leave the request outstanding.
func (d *ResponseDecoder) Decode(p []byte) (m *Response, n, need int, err error) {
	if n, need, err = d.decode(p); err != nil || need > 0 {
		return nil, n, need, err
	}
	return d.part(), n, 0, nil
}

// End implements frame.Decoder. A server may finish between two responses, however many requests are Outstanding: that is
// not an error here. Idempotent requests can be sent again on another connection.
func (d *ResponseDecoder) End(p []byte) (m *Response, ok bool, err error) {
	if ok, err = d.end(p); ok {
		m = d.finish()
	}
	return m, ok, err
}

// Pending returns the response whose head has been received but whose content has not, or nil. It is the message that
// Decode will return, without Content and Body.
func (d *ResponseDecoder) Pending() *Response {
	if d.message == nil || d.failed != nil {
		return nil
	}
	return &d.message.message
}

// Reset returns the decoder to its initial state, for a new connection: no request is outstanding.
func (d *ResponseDecoder) Reset() {
	d.reset(d, d.codec, d.limits, true)
	d.message, d.asked, d.first = nil, d.asked[:0], 0
}

// method returns the method of the request that the next response answers, or "".
func (d *ResponseDecoder) method() string {
	if d.Outstanding() > 0 {
		return d.asked[d.first]
	}
	return d.assume
}

func (d *ResponseDecoder) inParts() bool { return d.parted != nil && d.parted(&d.message.message) }

func (d *ResponseDecoder) open() *fault {
	if d.method() == "" {
		return malformed(0, "a response that nobody asked for")
	}
	return nil
}

// begin is RFC 9112, section 6.3, for responses.
func (d *ResponseDecoder) begin(head []byte) (state, *fault) {
	m := new(receivedResponse)
	m.asked.Method = d.method()
	f := readWith(head, func(r *bufio.Reader) (err error) {
		m.message.Response, err = http.ReadResponse(r, &m.asked)
		return err
	})
	if f != nil {
		return 0, f
	}
	m.message.Body = http.NoBody
	if f := announced(m.message.Trailer); f != nil {
		return 0, f
	}
	d.message = m
	switch {
	case !hasContent(m.message.Response):
		return atWhole, nil
	case d.head.codings > 0:
		return atChunkLine, nil
	case d.head.lengths > 0:
		return atLength, nil
	}
	return atUntilClose, nil
}

// hasContent reports whether content follows the head. RFC 9110, section 6.4.1.
func hasContent(r *http.Response) bool {
	switch {
	case r.StatusCode < 200, r.StatusCode == http.StatusNoContent, r.StatusCode == http.StatusNotModified:
		return false
	case r.Request == nil:
		return true
	case r.Request.Method == http.MethodHead:
		return false
	}
	return r.Request.Method != http.MethodConnect || r.StatusCode/100 != 2
}

// part returns the part that has come, or the whole response.
func (d *ResponseDecoder) part() *Response {
	if !d.parts.on || d.state == atWhole && !d.parts.first {
		return d.finish()
	}
	r := &d.message.message
	r.Part, r.Content = d.parts.next(false)
	return r
}

func (d *ResponseDecoder) finish() *Response {
	m := d.message
	if d.parts.on {
		m.message.Part = Last
	}
	d.message = nil
	r := &m.message
	if !r.Interim() && d.first < len(d.asked) {
		d.asked[d.first] = ""
		d.first++
	}
	after := atHead
	if d.head.framesNothing() && !r.Interim() {
		r.Close = true // the following bytes may be the content that it must not have
	}
	switch {
	case r.Interim(): // whatever its fields say about the connection
		r.Close = false
	case r.Switched():
		after, r.Close = atSwitched, false
	case r.Close:
		after = atEnded
	}
	content, trailer := d.next(after)
	r.Content = content
	r.Body = bodyOf(&m.body, content)
	r.Trailer = merged(r.Trailer, trailer)
	return r
}
